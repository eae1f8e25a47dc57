// SPDX-License-Identifier: Apache-2.0
//! An app's root: the tree that it is, and what is mounted in it before the pod starts.

use pod::isolators::Capacity;
use pod::{App, Mount, layout};

use crate::load::trees::Tree;
use crate::names::{HOSTS, RESOLV_CONF};

/// An app's file system tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where it is mounted, in stage1.
    pub at: String,
    /// What is mounted there.
    pub tree: Tree,
    /// The host's id of root in it, if that is not the host's root.
    pub first_id: Option<u32>,
    /// Whether the app may not write to it.
    pub read_only: bool,
    /// How much its /tmp holds, if that is a tmpfs.
    pub tmp: Option<Capacity>,
    /// The files that it is supplied with, in this order.
    pub supplied: Vec<Supplied>,
    /// The volumes that are mounted in it last.
    pub mounts: Vec<Mount>,
}

/// A file of the pod's that an app sees if its tree has none, and can't write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// Where it goes in the app's root.
    pub at: &'static str,
    /// Its path in stage1.
    pub source: &'static str,
}

/// Which files there are to supply apps with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supplies {
    pub(super) hosts: bool,
    pub(super) resolv_conf: bool,
}

/// Plans an app's root.
pub(super) fn root(app: &App, tree: &Tree, first_id: Option<u32>, supplies: Supplies) -> Root {
    let hosts = Supplied { at: "/etc/hosts", source: HOSTS };
    let resolv_conf = Supplied { at: "/etc/resolv.conf", source: RESOLV_CONF };
    let all = [supplies.hosts.then_some(hosts), supplies.resolv_conf.then_some(resolv_conf)];
    let supplied = all.into_iter().flatten().collect();
    Root {
        at: layout::app(&app.name),
        tree: tree.clone(),
        first_id,
        read_only: app.read_only_root,
        tmp: app.tmp(),
        supplied,
        mounts: app.mounts.clone(),
    }
}
