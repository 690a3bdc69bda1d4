//! Pods of headless Services, by their addresses.

use super::*;

#[test]
fn a_pod_of_a_headless_service_is_reached_where_it_was_dialled() {
    let rule = object(
        "VirtualService",
        "default",
        "web",
        "{hosts: [web], http: [{match: [{uri: {prefix: /plain}}], route: [{destination: {host: plain}}]}, {route: [{destination: {host: web}}]}]}",
    );
    let subset = object(
        "VirtualService",
        "default",
        "plain",
        "{hosts: [plain], http: [{route: [{destination: {host: web, port: {number: 80}}}]}]}",
    );
    for (why, rules, address, expected) in [
        (
            "the pod's port",
            "",
            "10.1.0.1:8080",
            "web.default:80 http; http default -> as dialled",
        ),
        (
            "one that is not ready, as its peers dial it",
            "",
            "10.1.0.3:8080",
            "web.default:80 http; http default -> as dialled",
        ),
        (
            "bytes",
            "",
            "10.1.0.1:7000",
            "web.default:7000 tcp; tcp as dialled",
        ),
        (
            "the service's port is Istio's way",
            "",
            "10.1.0.1:80",
            "web.default:80 http; http default -> as dialled",
        ),
        ("another port of the pod", "", "10.1.0.1:9090", "-"),
        ("a pod of no headless service", "", "10.1.0.5:8080", "-"),
        (
            "rules of the service",
            &rule,
            "10.1.0.1:8080",
            "web.default:80 http; http VirtualService default/web http[0] -> plain.default:80; http VirtualService default/web http[1] -> as dialled",
        ),
        (
            "led there by another's rule there is nothing to go by but its endpoints",
            &subset,
            "10.0.0.1:80",
            "plain.default:80 http; http VirtualService default/plain http[0] -> web.default:80",
        ),
        (
            "two of them: the Host header says which",
            "",
            "10.1.0.2:8080",
            "web.default:80 http; http default -> as dialled; web is web.default:80; web-1.web is web.default:80; \
             web-1.web.default is web.default:80; web-1.web.default.svc is web.default:80; web-all is web-all.default:81; \
             web-all.default is web-all.default:81; web-all.default.svc is web-all.default:81; web.default is web.default:80; \
             web.default.svc is web.default:80",
        ),
    ] {
        assert_eq!(told(&world(rules), "default", address), expected, "{why}");
    }
}
