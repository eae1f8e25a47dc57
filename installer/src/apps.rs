// SPDX-License-Identifier: Apache-2.0
//! The images of a new pod, and the options about their apps. Their order counts ([`prepare::apps::group`]), so this
//! module reads the parser's matches itself. Comments on the fields are the help that a person reads.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use image::ImageArgument;
use pod::exec::Word;
use prepare::apps::{AppMount, Grouped, Said, Setting, VolumeOption, group, word};

/// The options about apps, by image.
#[derive(Clone, Debug)]
pub(crate) struct Apps {
    pub(crate) grouped: Grouped,
    /// The only image, if it is given as an argument and not by an option: for `run` it may be a pod.
    pub(crate) only_argument: Option<ImageArgument>,
    /// Whether there are words after `--`.
    pub(crate) has_arguments: bool,
}

/// The ids of all that contradicts a given pod manifest.
pub(crate) const OF_MANIFEST: [&str; 20] = [
    "volumes",
    "arguments",
    "program",
    "environment",
    "environment_files",
    "user",
    "directory",
    "mounts",
    "devices",
    "memory",
    "cpus",
    "pids_limit",
    "tmp_size",
    "cap_add",
    "cap_drop",
    "read_only",
    "restart",
    "stop_timeout",
    "stop_signal",
    "hostname",
];

/// The options of apps whose values are settings: ids, and what a message calls them.
const SETTINGS: [(&str, &str); 15] = [
    ("program", "--exec"),
    ("environment", "--env"),
    ("environment_files", "--env-file"),
    ("user", "--user"),
    ("directory", "--workdir"),
    ("memory", "--memory"),
    ("cpus", "--cpus"),
    ("pids_limit", "--pids-limit"),
    ("tmp_size", "--tmp-size"),
    ("cap_add", "--cap-add"),
    ("cap_drop", "--cap-drop"),
    ("read_only", "--read-only"),
    ("restart", "--restart"),
    ("stop_timeout", "--stop-timeout"),
    ("stop_signal", "--stop-signal"),
];

/// The parser of these options. With one image they may stand anywhere, with several each stands after its image.
#[derive(Debug, Args)]
struct Words {
    /// An app image; several make a pod of several apps
    ///
    /// Either a file: a tar of a file `manifest` and a directory `rootfs`, plain or compressed with gzip, bzip2, xz or
    /// zstd. With DIGEST (sha256-HEX or sha512-HEX), its uncompressed tar must have this digest; an image that is in
    /// the store by this digest is not read again. Or an OCI image: oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]; the path of a layout or archive with one image, where DIGEST is the image's id;
    /// HOST/REPO[:TAG][@DIGEST] or docker://HOST/… in a registry. Or an image in the store: its id, the beginning of
    /// its id, or its name.
    #[arg(value_name = "IMAGE", value_parser = image_parser())]
    named: Vec<ImageArgument>,
    /// An app image, as IMAGE; repeat the option for each app
    #[arg(
        long = "image",
        value_name = "FILE[@DIGEST]|ID|NAME",
        value_parser = image_parser(),
        conflicts_with = "named"
    )]
    images: Vec<ImageArgument>,
    /// Arguments of the last image's app
    ///
    /// They are added to an appc image's program and arguments; they replace an OCI image's Cmd.
    #[arg(last = true, value_name = "ARGS", value_parser = word)]
    arguments: Vec<Word>,
    /// A volume for the apps' mount points called NAME, or a mount in an app
    ///
    /// kind=host is a file or directory of the host: `data,kind=host,source=/srv/data`. File systems mounted below it
    /// are included, unless recursive=false. A path with links needs followLinks=true. kind=empty is a new directory of
    /// the pod's: `tmp,kind=empty,mode=1777,uid=0,gid=0`. The defaults are mode=0755, uid=0 and gid=0. With size=BYTES,
    /// and maybe inodes=N, it is in memory and holds that much at most. kind=image is a directory of the pod's that
    /// begins with what the image has at the mount point: content, owner and mode. With readOnly=true, apps can't write
    /// to the volume. SRC:DST mounts a file or directory of the host's, or the pod's volume SRC, at DST in an app; DST
    /// alone mounts a new directory of the pod's.
    #[arg(
        long = "volume",
        short = 'v',
        value_name = "NAME,kind=host,source=PATH|NAME,kind=empty|NAME,kind=image[,FIELD=VALUE…]|[SRC:]DST[:ro]",
        value_parser = VolumeOption::parse
    )]
    volumes: Vec<VolumeOption>,
    /// The program, in place of the image's; an OCI image's Cmd is dropped
    #[arg(long = "exec", alias = "entrypoint", value_name = "PATH", value_parser = Setting::program, help_heading = APPS)]
    program: Vec<Setting>,
    /// A variable of the app's environment; without a value, that of this command
    #[arg(long = "env", short = 'e', value_name = "NAME[=VALUE]", value_parser = environment, help_heading = APPS)]
    environment: Vec<Setting>,
    /// A file of variables, NAME[=VALUE] a line; --env counts before it
    #[arg(long = "env-file", value_name = "FILE", value_parser = environment_file, help_heading = APPS)]
    environment_files: Vec<Setting>,
    /// The app's user, and its group [default: the user's groups in the image]
    #[arg(long, short, value_name = "USER[:GROUP]", value_parser = Setting::user, help_heading = APPS)]
    user: Vec<Setting>,
    /// The app's working directory
    #[arg(long = "workdir", short = 'w', value_name = "DIR", value_parser = Setting::directory, help_heading = APPS)]
    directory: Vec<Setting>,
    /// A mount in the app
    ///
    /// `type=bind,source=PATH,target=PATH[,ro]` is a file or directory of the host's,
    /// `type=volume,target=PATH` a new directory of the pod's, in memory with size=BYTES[,inodes=N],
    /// `volume=NAME,target=PATH` the pod's volume NAME.
    #[arg(long = "mount", value_name = "type=TYPE,FIELD=VALUE…", value_parser = AppMount::parse, help_heading = APPS)]
    mounts: Vec<AppMount>,
    /// A device of the host's, under its own name or at DST
    #[arg(long = "device", value_name = "SRC[:DST]", value_parser = AppMount::device, help_heading = APPS)]
    devices: Vec<AppMount>,
    /// The most memory that the app gets: bytes, or a number with k, m, g or t
    #[arg(long, short, value_name = "BYTES", value_parser = Setting::memory, help_heading = APPS)]
    memory: Vec<Setting>,
    /// The most CPU time that the app gets, in CPUs
    #[arg(long, value_name = "N", value_parser = Setting::cpus, help_heading = APPS)]
    cpus: Vec<Setting>,
    /// The most processes and threads that the app has at a time [default: 4096]
    #[arg(long, value_name = "N", value_parser = Setting::tasks, help_heading = APPS)]
    pids_limit: Vec<Setting>,
    /// Keep the app's /tmp in memory, with at most so many bytes [default with --read-only: 256m]
    #[arg(long, value_name = "BYTES[,inodes=N]", value_parser = Setting::tmp, help_heading = APPS)]
    tmp_size: Vec<Setting>,
    /// Capabilities that the app has beside its image's, such as NET_ADMIN; or ALL
    #[arg(long, value_name = "NAME", value_parser = Setting::add, help_heading = APPS)]
    cap_add: Vec<Setting>,
    /// Capabilities that the app doesn't have; or ALL
    #[arg(long, value_name = "NAME", value_parser = Setting::drop, help_heading = APPS)]
    cap_drop: Vec<Setting>,
    /// The app's root is read-only, but for its mounts
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        value_parser = Setting::read_only,
        help_heading = APPS
    )]
    read_only: Vec<Setting>,
    /// When the app is started again: no, on-failure or always
    #[arg(long, value_name = "WHEN", value_parser = Setting::restart, help_heading = APPS)]
    restart: Vec<Setting>,
    /// How long the app has to end when it is stopped, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = Setting::stop_timeout, help_heading = APPS)]
    stop_timeout: Vec<Setting>,
    /// The signal that stops the app [default: TERM, or what its image says]
    #[arg(long, value_name = "SIGNAL", value_parser = Setting::stop_signal, help_heading = APPS)]
    stop_signal: Vec<Setting>,
}

/// The heading of the options of apps.
const APPS: &str = "Options of apps: anywhere with one image, after its image with several";

/// Returns the parser of image arguments.
pub(crate) fn image_parser() -> impl clap::builder::TypedValueParser<Value = ImageArgument> {
    OsStringValueParser::new().try_map(|argument: OsString| ImageArgument::parse(&argument))
}

fn environment(text: &str) -> Result<Setting, String> {
    Setting::environment(text, |name| std::env::var(name).ok())
}

fn environment_file(text: &str) -> Result<Setting, String> {
    if text.is_empty() { Err("expected a file".into()) } else { Ok(Setting::EnvironmentFile(text.into())) }
}

impl Args for Apps {
    fn augment_args(command: Command) -> Command {
        Words::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Words::augment_args_for_update(command)
    }
}

impl FromArgMatches for Apps {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let arguments: Option<Vec<Word>> =
            matches.get_many("arguments").map(|words| words.cloned().collect());
        let has_arguments = arguments.is_some();
        let only_argument = matches.get_many("named").filter(|named| named.len() == 1);
        let only_argument = only_argument.and_then(|mut named| named.next().cloned());
        let grouped = group(said(matches), arguments)
            .map_err(|why| clap::Error::raw(ErrorKind::ValueValidation, why))?;
        Ok(Self { grouped, only_argument, has_arguments })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns what was said, in the order in which it was.
fn said(matches: &ArgMatches) -> Vec<Said> {
    let mut all = Vec::new();
    for id in ["named", "images"] {
        all.extend(of::<ImageArgument>(matches, id, Said::Image));
    }
    all.extend(of::<VolumeOption>(matches, "volumes", Said::Volume));
    for id in ["mounts", "devices"] {
        all.extend(of::<AppMount>(matches, id, |mount| Said::Volume(VolumeOption::Mount(mount))));
    }
    for (id, option) in SETTINGS {
        all.extend(of::<Setting>(matches, id, |setting| Said::Setting(option.to_owned(), setting)));
    }
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, said)| said).collect()
}

/// Returns the values of an argument with their places.
fn of<T: Clone + Send + Sync + 'static>(
    matches: &ArgMatches,
    id: &str,
    said: impl Fn(T) -> Said,
) -> Vec<(usize, Said)> {
    let values = matches.get_many::<T>(id).into_iter().flatten().cloned();
    let places = matches.indices_of(id).into_iter().flatten();
    places.zip(values.map(said)).collect()
}
