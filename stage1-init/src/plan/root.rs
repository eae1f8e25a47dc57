// SPDX-License-Identifier: Apache-2.0
//! An app's root: the tree that it is, and what is mounted in it before the pod starts.

use pod::isolators::Capacity;
use pod::layout::RESOLV_CONF;
use pod::manifest::Restart;
use pod::{App, Mount, layout};

use crate::exchange;
use crate::load::trees::Tree;

/// An app's file system tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its mount point, in stage1.
    pub at: String,
    /// The tree that is mounted there.
    pub tree: Tree,
    /// The host's id of root in it, if that is not the host's root.
    pub first_id: Option<u32>,
    /// Whether the app may not write to it.
    pub read_only: bool,
    /// How much its /tmp holds, if that is a tmpfs.
    pub tmp: Option<Capacity>,
    /// The directories that begin anew with each run of the app.
    pub fresh: Vec<Fresh>,
    /// Whether the app says when it is up.
    pub notifies: bool,
    /// The files that it is supplied with, in this order.
    pub supplied: Vec<Supplied>,
    /// The volumes that are mounted in it last.
    pub mounts: Vec<Mount>,
}

/// A directory of an app's that is in memory and has what the tree has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Its place in the app's root.
    pub at: &'static str,
    /// How much it holds.
    pub capacity: Capacity,
    /// The mount point of its file system in stage1, if it is emptied while the pod runs.
    pub place: Option<String>,
}

/// A file of the pod's that an app sees, and can't write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supplied {
    /// Its place in the app's root.
    pub at: &'static str,
    /// Its path in stage1.
    pub source: String,
    /// Whether it has what the tree's file says. If not, it counts where the tree has none.
    pub completes: bool,
}

/// The hosts file that an app is supplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    /// None.
    None,
    /// The pod's.
    Pods,
    /// The tree's, completed.
    Own,
}

/// Plans an app's root.
pub(super) fn root(
    app: &App,
    tree: &Tree,
    first_id: Option<u32>,
    hosts: Hosts,
    has_resolv_conf: bool,
) -> Root {
    let source = match hosts {
        Hosts::None => None,
        Hosts::Pods => Some(layout::HOSTS.to_owned()),
        Hosts::Own => Some(layout::own_hosts(&app.name)),
    };
    let hosts = source.map(|source| Supplied { at: "/etc/hosts", source, completes: hosts == Hosts::Own });
    let resolv_conf = has_resolv_conf.then(|| Supplied {
        at: "/etc/resolv.conf",
        source: RESOLV_CONF.into(),
        completes: false,
    });
    let supplied = [hosts, resolv_conf].into_iter().flatten().collect();
    Root {
        at: layout::app(&app.name),
        tree: tree.clone(),
        first_id,
        read_only: app.read_only_root,
        tmp: app.tmp(),
        fresh: fresh(app),
        notifies: app.notifies,
        supplied,
        mounts: app.mounts.clone(),
    }
}

fn fresh(app: &App) -> Vec<Fresh> {
    let is_renewed = app.restart != Restart::No;
    let one = |(number, (at, capacity))| {
        let place = is_renewed.then(|| exchange::fresh::place(&app.name, number));
        Fresh { at, capacity, place }
    };
    app.fresh().into_iter().enumerate().map(one).collect()
}
