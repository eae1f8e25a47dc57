// SPDX-License-Identifier: Apache-2.0
//! The parts of the help beside the options: names of the program, and examples.

use std::ffi::OsStr;
use std::path::Path;

/// The examples at the end of the help.
const EXAMPLES: &str = "\
Examples:
  installer run --image hello.aci
      prepare a pod of one image, and run it

  cd \"$(installer prepare --image hello.aci)\" && ./stage1/init
      the same in two steps

  installer run --image web.aci --image redis.aci@sha256-9f86d0… \\
      --volume data,kind=host,source=/srv/data,readOnly=true
      run two apps in one pod; the second image must have this digest

  installer image import web.aci && installer run --image example.com/web
      run an image that is in the store, by its name (its id or the beginning of the id works, too)

  installer list; installer stop 6733; installer rm 6733
      pods, by their UUIDs or the beginnings of these

Environment:
  GANTRY_DIR     the directory of pods and images, without --dir [default: /var/lib/gantry]
  GANTRY_STAGE1  the tarball of stage1, without --stage1

Exit codes:
  0 done, 1 failed (nothing is left behind), 2 wrong usage
  run     the pod's; 254 if Gantry itself failed, 2 wrong usage
  verify  1 if something is damaged and was not renewed, or can't be examined
  130 or 143 if interrupted by SIGINT or SIGTERM before a pod runs";

/// The names that this program may be called by. Called by another, it uses the first.
const NAMES: [&str; 2] = ["installer", "gantry"];

/// Returns the examples at the end of the help, with the name that the program was called by.
pub(crate) fn examples() -> String {
    EXAMPLES.replace(NAMES[0], report::program())
}

/// Returns the name in [`NAMES`] that the program was called by.
pub(crate) fn called_by(program: Option<&OsStr>) -> &'static str {
    let name = program.and_then(|program| Path::new(program).file_name());
    NAMES.into_iter().find(|known| name == Some(known.as_ref())).unwrap_or(NAMES[0])
}
