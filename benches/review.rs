//! How long a pod waits for the injector: an AdmissionReview's bytes in, the answer's bytes out, over the webhook's router and
//! without TLS. `cargo bench --bench review`. After it: `injector` (the webhook) and `pods` (what is sent).

// criterion's macros make public functions without a word of documentation.
#![allow(missing_docs)]

mod injector;
mod pods;

use axum::body::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;

use injector::Injector;

fn measure(criterion: &mut Criterion, group: &str, pods: impl IntoIterator<Item = (usize, Value)>) {
    let injector = Injector::new();
    let mut group = criterion.benchmark_group(group);
    for (size, pod) in pods {
        let review = Bytes::from(pods::review(pod).to_string());
        assert!(
            injector.answer(review.clone()).contains("JSONPatch"),
            "the pod is injected"
        );
        group.throughput(Throughput::Bytes(review.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| injector.answer(review.clone()));
        });
    }
    group.finish();
}

/// Sizes are doubled, so that a time that grows faster than its pod shows.
fn sizes(criterion: &mut Criterion) {
    measure(criterion, "ordinary pod", [(1, pods::ordinary())]);
    measure(
        criterion,
        "env variables",
        [375, 750, 1500, 3000].map(|count| (count, pods::with_env(count))),
    );
    measure(
        criterion,
        "containers",
        [25, 50, 100, 200].map(|count| (count, pods::with_containers(count))),
    );
    measure(
        criterion,
        "KiB",
        [256, 512, 1024, 2048].map(|size| (size, pods::of_kib(size))),
    );
}

criterion_group!(benches, sizes);
criterion_main!(benches);
