// SPDX-License-Identifier: Apache-2.0
//! Everything that was measured.

use crate::cold::Cold;
use crate::compare::Row;
use crate::goals::{self, Goal};
use crate::images::Image;
use crate::memory::Peaks;
use crate::oci::Oci;
use crate::start::Start;
use crate::throughput::{self, Way};
use crate::warm::Warm;

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Results {
    /// The large image first.
    pub(crate) images: Vec<Image>,
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) versions: Vec<(&'static str, String)>,
    pub(crate) cold: Vec<Cold>,
    pub(crate) oci: Oci,
    pub(crate) warm: Warm,
    pub(crate) whole: Vec<Row>,
    pub(crate) start: Start,
    pub(crate) memory: Vec<Peaks>,
    pub(crate) stdio: Vec<Row>,
    pub(crate) throughput: Vec<Way>,
}

impl Results {
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let mut goals = goals::of_cold(&self.cold);
        goals.extend(goals::of_oci(&self.oci));
        goals.extend(goals::of_warm(&self.warm, &self.names()));
        goals.extend(goals::of_whole(&self.whole));
        goals.extend(goals::of_start(&self.start));
        goals.extend(goals::of_memory(&self.memory));
        goals.extend(throughput::goals(&self.throughput));
        goals
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.images.iter().map(|image| image.name).collect()
    }
}
