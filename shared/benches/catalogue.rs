//! What the catalogue costs: finding an entry, reading it, reading all of them, searching. `cargo bench -p grantkeeper`.
//! Figures are of the machine they were taken on; compare those of one run.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first thing that is not as it should be")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use grantkeeper::catalogue::Catalogue;

fn catalogue(criterion: &mut Criterion) {
    let catalogue = Catalogue::default();
    let ids: Vec<String> = catalogue.ids().collect();
    let mut group = criterion.benchmark_group("catalogue");
    group.bench_function("read one entry", |bench| bench.iter(|| catalogue.find(black_box("slack")).unwrap()));
    group.bench_function("read one that extends another", |bench| {
        bench.iter(|| catalogue.find(black_box("gmail")).unwrap());
    });
    group.bench_function("miss", |bench| bench.iter(|| catalogue.find(black_box("nobody")).is_err()));
    group.bench_function("search", |bench| bench.iter(|| catalogue.list(black_box("sales"), None, 50, 0)));
    group.sample_size(10);
    group.bench_function("read all entries", |bench| {
        bench.iter(|| ids.iter().map(|id| catalogue.find(id).unwrap().settings.variables.len()).sum::<usize>());
    });
    group.finish();
}

criterion_group!(benches, catalogue);
criterion_main!(benches);
