// SPDX-License-Identifier: Apache-2.0
//! Annotations, of which Gantry reads those in its own namespace: how an app is stopped and restarted.
//!
//! - `gantry/stop-timeout`: how long the app has to end after SIGTERM, in whole seconds, 1 to 86400.
//! - `gantry/post-stop-timeout`: how long its post-stop handler may run before it gets SIGTERM, in the same way.
//! - `gantry/restart`: `no`, `on-failure` or `always`.
//! - `gantry/success-codes`: exit codes beside 0 that are a good end of the app: numbers and ranges, as `3,17-19`.
//! - `gantry/stop-mode`: which of an app's processes its stop signal goes to: `mixed`, to the first one; `all`, to each.
//! - `gantry/tmp`: `fresh`: the app's /tmp begins anew with each of its runs, as /run does. `kept`: it is a directory as any other.
//!
//! Some say what OCI images say and the specification has no word for. They work for all images:
//!
//! - `gantry/stop-signal`: the signal that stops the app in place of SIGTERM.
//! - `gantry/groups`: `of-user`: the app's groups are those that the image's own files give its user. `group` counts where
//!   these don't know the user.
//! - `gantry/home`: `of-user`: HOME is in the environment, by the image's passwd file, else `/`.
//! - `gantry/mount-points`: `anonymous`: a mount point that no volume fulfils is no error. The app has what the image has
//!   there, and its changes are the pod's. `copied`: the same, and volumes of kind `empty` begin with what the image has
//!   at their mount points.
//!
//! One is the specification's:
//!
//! - `appc.io/executor/supports-systemd-notify`: `true`: the app says when it is up (sd_notify(3)).
//!
//! One counts only in a pod's manifest, since it is about the boundary between images:
//!
//! - `gantry/users`: `own`: the app's users are nobody outside of the app. `shared`: they are the pod's own users, as those
//!   of every app with `shared`. `host`, for the whole pod: they are the host's users.

mod values;

use std::collections::BTreeSet;

use serde::Deserialize;

use super::pairs::Pairs;
use crate::error::{Error, Result};
use crate::name::Identifier;
use crate::signal::Signal;
use crate::text::escape;

pub use values::{MountPoints, OfUser, Restart, StopMode, Tmp, Users};

const NAMESPACE: &str = "gantry/";
/// How long an app has to end.
pub const STOP_TIMEOUT: &str = "gantry/stop-timeout";
const POST_STOP_TIMEOUT: &str = "gantry/post-stop-timeout";
/// When an app is started again.
pub const RESTART: &str = "gantry/restart";
/// The exit codes that are a good end.
const SUCCESS_CODES: &str = "gantry/success-codes";
/// The signal that stops an app.
pub const STOP_SIGNAL: &str = "gantry/stop-signal";
/// The name of the annotation for [`StopMode`].
const STOP_MODE: &str = "gantry/stop-mode";
/// The name of the annotation for [`Tmp`].
const TMP: &str = "gantry/tmp";
/// The name of the annotation for [`Annotations::groups`].
pub const GROUPS: &str = "gantry/groups";
/// The name of the annotation for [`Annotations::home`].
pub const HOME: &str = "gantry/home";
/// The name of the annotation for [`MountPoints`].
pub const MOUNT_POINTS: &str = "gantry/mount-points";
/// The name of the annotation for [`Users`].
pub const USERS: &str = "gantry/users";
/// Whether an app says when it is up.
const NOTIFIES: &str = "appc.io/executor/supports-systemd-notify";
/// All of Gantry's own.
const KNOWN: [&str; 11] = [
    STOP_TIMEOUT,
    POST_STOP_TIMEOUT,
    RESTART,
    SUCCESS_CODES,
    STOP_SIGNAL,
    STOP_MODE,
    TMP,
    GROUPS,
    HOME,
    MOUNT_POINTS,
    USERS,
];
/// The longest timeout: a day.
pub const TIMEOUT_MAX: u32 = 86_400;

/// The annotations that Gantry reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Pairs")]
pub struct Annotations {
    /// How long an app has to end after SIGTERM, in seconds.
    pub stop_timeout: Option<u32>,
    /// How long its post-stop handler may run, in seconds.
    pub post_stop_timeout: Option<u32>,
    /// When an app that has ended is started again.
    pub restart: Option<Restart>,
    /// The exit codes beside 0 that are a good end, in order.
    pub success_codes: Option<Vec<u8>>,
    /// The signal that stops an app; `None` means SIGTERM.
    pub stop_signal: Option<Signal>,
    /// The processes that this signal goes to.
    pub stop_mode: Option<StopMode>,
    /// The content of its /tmp at the beginning of a run.
    pub tmp: Option<Tmp>,
    /// Whether the app says when it is up.
    pub notifies: Option<bool>,
    /// Whether the app's groups are those that the image gives its user.
    pub groups: Option<OfUser>,
    /// Whether HOME is that of the app's user; `None` means that none is supplied.
    pub home: Option<OfUser>,
    /// The treatment of mount points without a volume; `None` means that they are an error.
    pub mount_points: Option<MountPoints>,
    /// The users that the app has.
    pub users: Option<Users>,
    /// The first one of Gantry's namespace that this version does not know. An image with one can be kept, and made no pod
    /// of.
    pub unknown: Option<String>,
}

impl Annotations {
    /// Returns these annotations, completed by those of `other`.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self {
            stop_timeout: self.stop_timeout.or(other.stop_timeout),
            post_stop_timeout: self.post_stop_timeout.or(other.post_stop_timeout),
            restart: self.restart.or(other.restart),
            success_codes: self.success_codes.or(other.success_codes),
            stop_signal: self.stop_signal.or(other.stop_signal),
            stop_mode: self.stop_mode.or(other.stop_mode),
            tmp: self.tmp.or(other.tmp),
            notifies: self.notifies.or(other.notifies),
            groups: self.groups.or(other.groups),
            home: self.home.or(other.home),
            mount_points: self.mount_points.or(other.mount_points),
            users: self.users.or(other.users),
            unknown: self.unknown.or(other.unknown),
        }
    }
}

impl Annotations {
    /// Checks that all of Gantry's namespace are known.
    ///
    /// # Errors
    /// Fails with the first one that is not.
    pub(crate) fn check_known(&self) -> Result<()> {
        match &self.unknown {
            None => Ok(()),
            Some(name) => {
                let (name, known) = (escape(name), KNOWN.join(", "));
                Err(Error::new(format!("unknown annotation {name}: expected one of {known}")))
            }
        }
    }
}

/// Reads numbers and ranges with commas between them.
fn success_codes(text: &str) -> Option<Vec<u8>> {
    let number = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|number| is_number && *number > 0)
    };
    let mut codes = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        codes.extend(first..=last);
    }
    Some(codes.into_iter().collect())
}

/// Returns what an annotation of the specification's has to be, if it is something else (appc spec, image manifest,
/// annotations).
fn expected(name: &str, value: &str) -> Option<&'static str> {
    match name {
        "created" if !is_date(value) => Some("a date of RFC 3339, such as 2014-10-27T19:32:27Z"),
        "homepage" | "documentation" if !is_url(value) => Some("an URL of http or https"),
        _ => None,
    }
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or(text.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_graphic() || byte >= 0x80))
}

/// Tells whether a text is a date and time of RFC 3339, section 5.6.
fn is_date(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else { return false };
    let numbers = |text: &str, at: char, widths: &[usize], most: &[u32]| {
        let parts: Vec<_> = text.split(at).collect();
        let is_number = |((part, width), most): ((&&str, &usize), &u32)| {
            part.len() == *width
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && part.parse::<u32>().is_ok_and(|number| number <= *most)
        };
        parts.len() == widths.len() && parts.iter().zip(widths).zip(most).all(is_number)
    };
    let is_day =
        numbers(date, '-', &[4, 2, 2], &[9999, 12, 31]) && !date.ends_with("-00") && &date[5..7] != "00";
    let zone = time.find(['Z', 'z', '+']).or_else(|| time.rfind('-'));
    let Some((clock, zone)) = zone.and_then(|at| time.split_at_checked(at)) else { return false };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let is_zone = matches!(zone, "Z" | "z")
        || zone.get(1..).is_some_and(|offset| numbers(offset, ':', &[2, 2], &[23, 59]));
    is_day && numbers(clock, ':', &[2, 2, 2], &[23, 59, 60]) && is_fraction && is_zone
}

impl TryFrom<Pairs> for Annotations {
    type Error = Error;

    fn try_from(pairs: Pairs) -> Result<Self> {
        let mut all = Self::default();
        let mut seen = BTreeSet::new();
        for (name, value) in pairs.0 {
            let invalid = |expected: String| {
                Error::new(format!("annotation {} is {}: {expected}", escape(&name), escape(&value)))
            };
            let seconds = || {
                let seconds = value.parse().ok().filter(|seconds| (1..=TIMEOUT_MAX).contains(seconds));
                seconds.ok_or_else(|| invalid(format!("expected whole seconds from 1 to {TIMEOUT_MAX}")))
            };
            match name.as_str() {
                STOP_TIMEOUT => all.stop_timeout = Some(seconds()?),
                POST_STOP_TIMEOUT => all.post_stop_timeout = Some(seconds()?),
                RESTART => {
                    let restart = Restart::named(&value);
                    all.restart =
                        Some(restart.ok_or_else(|| invalid("expected no, on-failure or always".into()))?);
                }
                SUCCESS_CODES => {
                    let codes = success_codes(&value);
                    let expected = "expected exit codes from 1 to 255, and ranges of them, such as 3,17-19";
                    all.success_codes = Some(codes.ok_or_else(|| invalid(expected.into()))?);
                }
                STOP_SIGNAL => {
                    let signal = value.parse().map_err(|error: Error| error.within(STOP_SIGNAL))?;
                    all.stop_signal = Some(signal);
                }
                STOP_MODE => {
                    all.stop_mode = Some(match value.as_str() {
                        "mixed" => StopMode::Mixed,
                        "all" => StopMode::All,
                        _ => return Err(invalid("expected mixed or all".into())),
                    });
                }
                TMP => {
                    all.tmp = Some(match value.as_str() {
                        "kept" => Tmp::Kept,
                        "fresh" => Tmp::Fresh,
                        _ => return Err(invalid("expected kept or fresh".into())),
                    });
                }
                NOTIFIES => {
                    let flag = value.parse();
                    all.notifies = Some(flag.map_err(|_| invalid("expected true or false".into()))?);
                }
                GROUPS => all.groups = Some(only(&value, "of-user", OfUser).map_err(invalid)?),
                HOME => all.home = Some(only(&value, "of-user", OfUser).map_err(invalid)?),
                MOUNT_POINTS => {
                    all.mount_points = Some(match value.as_str() {
                        "anonymous" => MountPoints::Anonymous,
                        "copied" => MountPoints::Copied,
                        _ => return Err(invalid("expected anonymous or copied".into())),
                    });
                }
                USERS => {
                    let users = Users::named(&value);
                    all.users = Some(users.ok_or_else(|| invalid("expected own, shared or host".into()))?);
                }
                own if own.starts_with(NAMESPACE) => drop(all.unknown.get_or_insert(own.to_owned())),
                _ => {
                    if let Some(expected) = expected(&name, &value) {
                        return Err(invalid(format!("expected {expected}")));
                    }
                }
            }
            let valid = name.parse::<Identifier>();
            valid.map_err(|error| error.within(format_args!("annotation {}", escape(&name))))?;
            if seen.contains(&name) {
                return Err(Error::new(format!("two annotations {}: expected at most one", escape(&name))));
            }
            seen.insert(name);
        }
        Ok(all)
    }
}

/// Returns what an annotation means that has one value only; the error is what was expected.
fn only<T>(value: &str, expected: &str, meaning: T) -> Result<T, String> {
    if value == expected { Ok(meaning) } else { Err(format!("expected {expected}")) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    #[test]
    fn both_forms_are_read() {
        let expected = Annotations {
            stop_timeout: Some(30),
            post_stop_timeout: Some(120),
            restart: Some(Restart::OnFailure),
            ..Annotations::default()
        };
        for annotations in [
            json!([{"name": "gantry/stop-timeout", "value": "30"}, {"name": "gantry/post-stop-timeout", "value": "120"},
                   {"name": "gantry/restart", "value": "on-failure"},
                   {"name": "authors", "value": "x"}]),
            json!({"gantry/stop-timeout": "30", "gantry/post-stop-timeout": "120", "gantry/restart": "on-failure", "authors": ""}),
        ] {
            assert_eq!(from_value::<Annotations>(annotations).unwrap(), expected);
        }
    }

    #[test]
    fn what_oci_images_say_is_read() {
        let said = json!({"gantry/stop-signal": "SIGINT", "gantry/groups": "of-user", "gantry/home": "of-user",
                          "gantry/mount-points": "anonymous"});
        let expected = Annotations {
            stop_signal: Some("2".parse().unwrap()),
            groups: Some(OfUser),
            home: Some(OfUser),
            mount_points: Some(MountPoints::Anonymous),
            ..Annotations::default()
        };
        assert_eq!(from_value::<Annotations>(said).unwrap(), expected);
        assert_eq!(Annotations::default().over(expected.clone()), expected);
        for name in ["gantry/stop-signal", "gantry/groups", "gantry/home", "gantry/mount-points"] {
            assert!(from_value::<Annotations>(json!({name: "x"})).unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn whose_users_an_app_has_is_read() {
        for (value, users) in [("own", Users::Own), ("shared", Users::Shared), ("host", Users::Host)] {
            let read = from_value::<Annotations>(json!({"gantry/users": value})).unwrap();
            assert_eq!(read.users, Some(users));
            assert_eq!(Annotations::default().over(read).users, Some(users));
        }
    }

    #[test]
    fn those_that_a_newer_version_knows_are_kept_in_mind() {
        let read = from_value::<Annotations>(json!({"gantry/restrat": "no", "a": ""})).unwrap();
        assert_eq!(read.unknown.as_deref(), Some("gantry/restrat"));
        assert!(read.check_known().unwrap_err().to_string().contains("\"gantry/restrat\""));
    }

    #[test]
    fn the_specifications_own_are_what_it_says() {
        for (name, good, bad) in [
            (
                "created",
                &["2014-10-27T19:32:27.67021798Z", "2014-10-27t19:32:27+02:00", "2016-12-31T23:59:60-00:30"]
                    [..],
                &[
                    "",
                    "garbage",
                    "2014-10-27",
                    "2014-13-27T19:32:27Z",
                    "2014-00-27T19:32:27Z",
                    "2014-10-27T19:32:27",
                    "2014-10-27T19:32:27.Z",
                    "2014-10-27T19:32Z",
                    "+014-10-27T19:32:27Z",
                    "2014-10-27T19:32:27+2:00",
                ][..],
            ),
            (
                "homepage",
                &["http://example.com", "https://example.com/a?b"],
                &["", "ftp://x", "example.com", "http://a b"],
            ),
            ("documentation", &["https://example.com"], &["x"]),
        ] {
            for value in good {
                assert!(from_value::<Annotations>(json!({name: value})).is_ok(), "{name} {value}");
            }
            for value in bad {
                let error = from_value::<Annotations>(json!({name: value})).unwrap_err().to_string();
                assert!(error.contains(name), "{error}");
            }
        }
        assert!(
            from_value::<Annotations>(json!({"Upper": ""})).unwrap_err().to_string().contains("\"Upper\"")
        );
    }

    #[test]
    fn what_is_ours_is_checked() {
        let bad = |pairs: Value| assert!(from_value::<Annotations>(pairs.clone()).is_err(), "{pairs}");
        for value in ["0", "86401", "-1", "1s", ""] {
            bad(json!({"gantry/stop-timeout": value}));
            bad(json!({"gantry/post-stop-timeout": value}));
        }
        bad(json!({"gantry/restart": "sometimes"}));
        for codes in ["", "0", "x", "256", "9-3", "3,,4", "-1", "+1", "1-", "1 "] {
            bad(json!({"gantry/success-codes": codes}));
        }
        let codes = from_value::<Annotations>(json!({"gantry/success-codes": "17-19,3,18"})).unwrap();
        assert_eq!(codes.success_codes, Some(vec![3, 17, 18, 19]));
        bad(json!({"gantry/users": "private"}));
        for (value, expected) in [("true", true), ("false", false)] {
            let read = from_value::<Annotations>(json!({"appc.io/executor/supports-systemd-notify": value}));
            assert_eq!(read.unwrap().notifies, Some(expected));
        }
        for value in ["", "yes", "1", "True"] {
            bad(json!({"appc.io/executor/supports-systemd-notify": value}));
        }
        for (value, mode) in [("mixed", StopMode::Mixed), ("all", StopMode::All)] {
            let read = from_value::<Annotations>(json!({"gantry/stop-mode": value})).unwrap();
            assert_eq!(read.stop_mode, Some(mode));
        }
        for value in ["", "process", "Mixed"] {
            bad(json!({"gantry/stop-mode": value}));
            bad(json!({"gantry/tmp": value}));
        }
        for (value, tmp) in [("kept", Tmp::Kept), ("fresh", Tmp::Fresh)] {
            assert_eq!(from_value::<Annotations>(json!({"gantry/tmp": value})).unwrap().tmp, Some(tmp));
        }
        bad(json!([{"name": "a", "value": ""}, {"name": "a", "value": ""}]));
    }
}
