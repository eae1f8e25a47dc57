// SPDX-License-Identifier: Apache-2.0
//! How long a pod waits for its network.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use super::world::{Namespace, World};

/// Far above what it takes (2 to 8 ms), so that a busy machine is no failure: a wait for the kernel takes longer.
const LIMIT: Duration = Duration::from_millis(100);

#[gate::root_test]
fn a_network_is_made_in_milliseconds() {
    let world = World::new();
    // The first table of a namespace makes the kernel track connections there.
    let _first = world.pod(&[]);
    for published in [&["8080:80"][..], &["8080:80", "5353:53/udp"]] {
        measure(&world, published);
    }
}

fn measure(world: &World, published: &[&str]) {
    let mut all: Vec<_> = (0..20)
        .map(|_| {
            let namespace = Namespace::new();
            let start = Instant::now();
            let reserved = world.reserve(published).unwrap();
            let reserving = start.elapsed();
            let start = Instant::now();
            world.host.run(|| reserved.connect(namespace.as_fd())).unwrap();
            (reserving + start.elapsed(), reserving)
        })
        .collect();
    all.sort();
    let (median, reserving) = all[all.len() / 2];
    println!(
        "a network with {published:?} takes {median:?} (fastest {:?}, slowest {:?}), reserving {reserving:?} of it",
        all[0].0, all[19].0
    );
    assert!(median < LIMIT, "{median:?}");
}
