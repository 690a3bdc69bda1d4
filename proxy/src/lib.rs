//! Outrigger's data plane: the proxy beside each pod, and the iptables rules that lead the pod's traffic to it.
//!
//! # Layout
//! A request leaves a pod through these files, in this order: [`listen`] (where did the client mean to go?) ->
//! [`outbound`] ([`mesh`]: what is at that address?) -> [`detect`] -> [`http`] or [`tcp`] -> [`route`] (which rule?) ->
//! [`balance`] (which endpoint?) -> [`pool`] -> the other pod, where it enters through [`listen`] -> [`inbound`]. On both of
//! its ends, `http1` reads and writes a [`message`] with its [`body`].
//!
//! Beside the path: [`discovery`] fills `mesh` over the [`protocol`], and [`resolver`] asks DNS for endpoints; [`app`] puts a
//! proxy together from a [`config`], [`workers`] are its threads; [`drain`] ends it; [`admin`] and [`metrics`] show it;
//! [`probe`] asks the application what the kubelet wants to know. [`init`] sets up iptables before it starts, and
//! [`wait`] holds the application until it is ready.

pub mod admin;
mod alarm;
pub mod app;
pub mod balance;
pub mod body;
pub mod config;
pub mod detect;
pub mod discovery;
pub mod drain;
mod fetch;
pub mod http;
mod http1;
pub mod inbound;
pub mod init;
pub mod listen;
pub mod mesh;
pub mod message;
pub mod metrics;
pub mod outbound;
pub mod pool;
pub mod probe;
pub mod protocol;
pub mod resolver;
pub mod route;
mod scratch;
pub mod tcp;
pub mod wait;
pub mod workers;
