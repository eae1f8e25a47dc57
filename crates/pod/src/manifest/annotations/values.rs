// SPDX-License-Identifier: Apache-2.0
//! The values that annotations can have.

/// The users that an app has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Users {
    /// The app's alone: to every other app and to the host they are nobody.
    #[default]
    Own,
    /// The pod's: to the host they are nobody, and apps with the same value have the same users.
    Shared,
    /// The host's: root in the app is root on the host.
    Host,
}

impl Users {
    /// Returns what it is called in an annotation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Shared => "shared",
            Self::Host => "host",
        }
    }

    /// Returns the one that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Own, Self::Shared, Self::Host].into_iter().find(|users| users.name() == name)
    }
}

/// The value `of-user`: as the image's own files have it for the app's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfUser;

/// The treatment of mount points without a volume, by what the image has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountPoints {
    /// The app has what the image has there, and its changes are the pod's.
    Anonymous,
    /// The same; and empty volumes begin as copies of them.
    Copied,
}

/// The processes of an app that are asked to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopMode {
    /// The first one, as container runtimes do it. The others are ended once it has ended.
    #[default]
    Mixed,
    /// Each of them, at once.
    All,
}

/// What an app's /tmp has at the beginning of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tmp {
    /// The content that the previous run left.
    #[default]
    Kept,
    /// The image's content.
    Fresh,
}

/// When an app that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Never: its end counts.
    #[default]
    No,
    /// When it failed, until it ends well or the pod is stopped.
    OnFailure,
    /// However it ended, until the pod is stopped.
    Always,
}

impl Restart {
    /// Returns what it is called in an annotation.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }

    /// Returns the one that is called `name`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::No, Self::OnFailure, Self::Always].into_iter().find(|restart| restart.name() == name)
    }
}
