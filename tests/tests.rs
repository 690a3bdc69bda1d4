//! The black-box tests of the control plane, one binary. Each module is one part as its users meet it.

mod admission;
mod chart;
mod check;
mod corpus;
mod demo;
mod discovery;
mod explain;
mod manifests;
mod pods;
mod rules;
