//! What is told, in which order, and what at the same time. After it: `main`, which tells it.

use crate::scene::Scene;
use crate::{
    annotations, by_hand, calls, crowd, dual_stack, figures, install, load, nodes, probes, propagation,
    protocols, reinvocation, restart, revisions, rig, security, sidecars, smuggling, told, trust, uninstall,
    walkthrough,
};

/// A name to choose it by, and what happens in it.
pub(crate) type Story = (&'static str, fn() -> anyhow::Result<()>);

/// Stories that are told one after another, because one follows from the other or all play in one place.
pub(crate) struct Chapter {
    /// Deleted when all of the stories are true.
    pub(crate) scene: Option<&'static Scene>,
    pub(crate) stories: &'static [Story],
}

const fn alone(stories: &'static [Story]) -> Chapter {
    Chapter { scene: None, stories }
}

const fn within(scene: &'static Scene, stories: &'static [Story]) -> Chapter {
    Chapter {
        scene: Some(scene),
        stories,
    }
}

/// One after another; the chapters of each at the same time, so none of them may take away what others need: what
/// replaces the control plane or measures it is alone. `install` comes before all that need it, whichever are chosen.
pub(crate) const ACTS: &[&[Chapter]] = &[
    &[
        alone(&[("rig: services, DNS, exec and logs", rig::services)]),
        alone(&[(
            "rig: a native sidecar serves the init containers and lets a Job complete",
            rig::native_sidecar,
        )]),
        alone(&[(
            "rig: both kinds of iptables work in an init container",
            rig::iptables,
        )]),
    ],
    &[alone(&[
        (
            "install: two ready replicas, a trusted webhook, an upgrade that keeps it",
            install::install,
        ),
        (
            "walk-through: both versions in turn, then by the client's labels",
            walkthrough::walkthrough,
        ),
    ])],
    &[
        alone(&[
            (
                "revisions: two control planes side by side serve their own namespaces",
                revisions::side_by_side,
            ),
            (
                "revisions: a namespace moves to the canary by its label, and back",
                revisions::moved,
            ),
            (
                "security: an agent sets up the redirection in a restricted namespace",
                security::set_up_by_others,
            ),
            (
                "security: each level admits with a proxy what it admits without",
                security::every_level,
            ),
            (
                "revisions: the canary goes, the default stays",
                revisions::canary_gone,
            ),
        ]),
        within(
            &sidecars::SCENE,
            &[
                ("sidecars: native, from the start to the end", sidecars::native),
                ("sidecars: classic, from the start to the end", sidecars::classic),
                ("sidecars: a Job ends its classic proxy", sidecars::classic_job),
                (
                    "sidecars: a CronJob's Job completes by itself",
                    sidecars::cron_job,
                ),
                ("sidecars: a StatefulSet", sidecars::stateful_set),
            ],
        ),
        within(
            &probes::SCENE,
            &[
                (
                    "probes: every kind is answered through the proxy",
                    probes::answered,
                ),
                ("probes: one that fails still fails", probes::refused),
                ("probes: the word before the end is heard", probes::last_word),
            ],
        ),
        within(
            &annotations::SCENE,
            &[
                (
                    "annotations: what leaves the pod past the proxy",
                    annotations::outbound,
                ),
                ("annotations: what arrives past the proxy", annotations::inbound),
                ("annotations: bad values are refused", annotations::refused),
                (
                    "annotations: each resource replaces itself",
                    annotations::resources,
                ),
                (
                    "annotations: the author's own container and volume",
                    annotations::furnished,
                ),
                ("annotations: one scrape has both metrics", annotations::scraped),
            ],
        ),
        alone(&[
            (
                "by hand: `outrigger inject`, also for manifests of Kubernetes 1.14",
                by_hand::by_hand,
            ),
            ("by hand: `outrigger uninject` of what runs", by_hand::uninject),
        ]),
        within(
            &calls::SCENE,
            &[
                (
                    "calls: a Job completes, with a call through its proxy",
                    calls::job,
                ),
                (
                    "calls: a pod calls itself through its own Service",
                    calls::to_itself,
                ),
                (
                    "calls: a Service has the mesh's own port numbers",
                    calls::to_our_ports,
                ),
                (
                    "calls: dialling the proxy itself ends at once",
                    calls::to_the_proxy,
                ),
                ("calls: a pod that is in no Service", calls::past_the_mesh),
                ("calls: TCP with a half-closed connection", calls::half_closed),
                (
                    "calls: a rule that names a missing subset breaks its own route only",
                    calls::to_a_missing_subset,
                ),
                (
                    "calls: who does not want a proxy has none",
                    calls::without_a_proxy,
                ),
            ],
        ),
        within(
            &reinvocation::SCENE,
            &[
                (
                    "reinvocation: another webhook adds containers after ours",
                    reinvocation::container_added,
                ),
                (
                    "reinvocation: another webhook changes ours",
                    reinvocation::ours_changed,
                ),
            ],
        ),
        within(
            &told::SCENE,
            &[
                (
                    "told: a warning and an Event say why there is no proxy",
                    told::warned,
                ),
                (
                    "told: `outrigger check` finds what is missing and what is old",
                    told::checked,
                ),
                (
                    "told: `outrigger explain pod` says which rule decided",
                    told::explained,
                ),
                (
                    "told: `outrigger explain request` says where a request goes",
                    told::request_explained,
                ),
                (
                    "told: a wrong rule is refused, or says what is wrong with it",
                    told::wrong_rules,
                ),
            ],
        ),
        alone(&[
            ("security: what the init container needs", security::with_init),
            (
                "security: a sidecar cannot speak to the API in its application's name",
                security::without_the_api,
            ),
            (
                "security: the proxy's user is nobody else's, also in OpenShift's ranges",
                security::users,
            ),
        ]),
        within(
            &protocols::SCENE,
            &[
                ("protocols: PostgreSQL", protocols::postgres),
                ("protocols: MariaDB", protocols::mariadb),
                ("protocols: Redis", protocols::redis),
                ("protocols: nginx and curl", protocols::web),
                (
                    "protocols: nginx sees no request that was smuggled",
                    smuggling::nginx,
                ),
                ("protocols: TLS as it is", protocols::tls),
                ("protocols: gRPC", protocols::grpc),
                ("protocols: WebSockets", protocols::websocket),
                ("protocols: a server that speaks first", protocols::mail),
                (
                    "protocols: a slow reader costs no memory",
                    protocols::back_pressure,
                ),
            ],
        ),
        within(
            &dual_stack::SCENE,
            &[("dual stack: IPv6 is captured and routed", dual_stack::ipv6)],
        ),
        within(
            &nodes::SCENE,
            &[
                ("nodes: a Service's traffic stays on its node", nodes::local),
                ("nodes: a Service's traffic stays in its zone", nodes::close),
                ("nodes: another zone takes over, and gives back", nodes::failover),
            ],
        ),
    ],
    &[alone(&[
        (
            "restart: the control plane is replaced under traffic, and pods are created meanwhile",
            restart::control_plane,
        ),
        (
            "restart: the servers are replaced under traffic",
            restart::servers,
        ),
        (
            "restart: servers come and go, are killed, and half of them at once",
            restart::endpoints,
        ),
        ("nodes: one is lost, and comes back", nodes::lost),
        (
            "propagation: how soon a proxy follows a rule and an endpoint",
            propagation::propagation,
        ),
        ("trust: what is taken away comes back", trust::repaired),
        (
            "figures: the webhook's latency as the API server sees it",
            figures::webhook,
        ),
        ("figures: 1,000 pods at once", crowd::created),
        (
            "figures: 1,000 reviews a second, and 100,000 of them",
            load::reviews,
        ),
        (
            "figures: memory of proxy and control plane, size of the image",
            figures::sizes,
        ),
        (
            "uninstall: pods can be created all the while, and rules go on",
            uninstall::uninstall,
        ),
    ])],
];
