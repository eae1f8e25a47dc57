// SPDX-License-Identifier: Apache-2.0
//! Manifests made to be misread: their text arrives exactly or is refused; nothing of it is interpreted.

use std::fs;
use std::path::Path;

use gate::root_test;
use serde_json::{Value, json};
use testing::image::manifest;
use testing::pods::{Gantry, status, text};
use testing::rootfs::{Node, Rootfs};
use testing::users;

/// Ends a line and begins a directive, if it is taken for a unit's text.
const INJECTION: &str = "x\rExecStartPre=/bin/false\nExecStartPre=/bin/false";

/// Returns a manifest whose app prints its arguments and its environment, each ended by NUL.
fn showing(words: &[&str]) -> Value {
    let mut exec = vec!["/bin/sh", "-c", "cat /proc/$$/cmdline /proc/$$/environ; exit", "sh"];
    exec.extend(words);
    manifest("shown", &exec)
}

/// Runs the app and returns what it prints. It must end well and print nothing to stderr.
fn run(rootfs: &Rootfs, image: &Value, arguments: &[&str]) -> String {
    let gantry = Gantry::new();
    let image = gantry.image("hostile", rootfs, image);
    let output = gantry.with_images("run", &[&image], arguments).output().unwrap();
    gantry.wait_all();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    text(&output.stdout)
}

/// Checks that `prepare` fails with one line that says `why`, and leaves nothing.
fn refused(image: &Value, why: &str) {
    let gantry = Gantry::new();
    let image = gantry.image("hostile", &Rootfs::busybox().unwrap(), image);
    refused_with(&gantry, &image, &[], 1, why);
}

fn refused_with(gantry: &Gantry, image: &Path, arguments: &[&str], code: i32, why: &str) {
    let output = gantry.with_images("prepare", &[image], arguments).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(why), "{error:?} should say {why:?}");
    assert!(code == 2 || error.lines().count() == 1, "{error:?}");
    assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{error:?}");
    assert!(!gantry.dir().exists());
}

#[root_test]
fn case_28_arguments_are_exact() {
    let words = ["%n $HOME ${X} $$ ; \\ \" ' é", "a\nb", "a\tb", "", "%%", "$$", "\\n", "\u{85}\u{2028}"];
    let shown = run(&Rootfs::busybox().unwrap(), &showing(&words), &[]);
    let words: String = words.iter().map(|word| format!("{word}\0")).collect();
    assert!(shown.contains(&format!("sh\0{words}")), "{shown:?}");
}

#[root_test]
fn case_29_a_program_has_no_prefix() {
    // They are paths from the working directory, if odd ones.
    for program in ["+/bin/sh", "@/bin/sh", "-/bin/sh", ":/bin/sh", "!/bin/sh", "|/bin/sh", "./sh"] {
        refused(&manifest("prefix", &[program]), "is not in the image");
    }
    refused(&manifest("prefix", &[""]), "invalid exec");
    // As a name, if an odd one, it is just looked up.
    refused(&manifest("prefix", &["@sh"]), "program \"@sh\" is not in the image");
}

#[root_test]
fn case_30_a_handler_has_no_prefix() {
    let mut image = manifest("handler", &["/bin/true"]);
    image["app"]["eventHandlers"] = json!([{"name": "pre-start", "exec": ["-/bin/x"]}]);
    refused(&image, "-/bin/x");
}

#[root_test]
fn case_31_and_32_variables_are_exact_whatever_their_names() {
    let values = ["line\nline", "\"quoted\" 'so' \\", "  edges  ", "%n $HOME", INJECTION, "end\\", ""];
    let variables =
        values.iter().enumerate().map(|(n, value)| json!({"name": format!("a.b-{n}"), "value": value}));
    let mut image = showing(&[]);
    image["app"]["environment"] = variables.collect();
    let shown = run(&Rootfs::busybox().unwrap(), &image, &[]);
    for (n, value) in values.iter().enumerate() {
        assert!(shown.contains(&format!("\0a.b-{n}={value}\0")), "{value:?} in {shown:?}");
    }
    for name in ["A=B", "A B", "1A", "", "A\n"] {
        image["app"]["environment"] = json!([{"name": name, "value": ""}]);
        refused(&image, "invalid environment variable name");
    }
}

#[root_test]
fn case_33_and_34_no_text_ends_a_line_or_joins_two() {
    for hostile in [INJECTION, "end\\"] {
        let gantry = Gantry::new();
        let source = gantry.beside(hostile.split('/').next().unwrap());
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), "of the volume").unwrap();
        // Every free text there is: user, directory, argument, variable, mount target and source.
        let directory = hostile.replace('/', "|");
        let user = directory.replace(|c: char| !c.is_ascii_graphic(), "_");
        let passwd = format!("root:x:0:0:::\n{user}:x:77:77:::\n");
        let rootfs = Rootfs::busybox()
            .unwrap()
            .with("etc/passwd", Node::File(0o644, passwd.into()))
            .with(&directory, Node::Directory(0o755));
        let mut image = manifest("hostile", &["/bin/sh", "-c", "id -u; pwd; cat file; echo $0 $V", hostile]);
        image["app"]["user"] = json!(user);
        image["app"]["workingDirectory"] = json!(format!("/{directory}"));
        image["app"]["environment"] = json!([{"name": "V", "value": hostile}]);
        image["app"]["mountPoints"] = json!([{"name": "v", "path": format!("/{directory}")}]);
        let argument = format!("v,kind=host,source={}", source.display());
        let image = gantry.image("hostile", &rootfs, &image);
        let output = gantry.with_images("run", &[&image], &["--volume", &argument]).output().unwrap();
        gantry.wait_all();
        let echoed = format!("{hostile} {hostile}").split_whitespace().collect::<Vec<_>>().join(" ");
        let seen = text(&output.stdout);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{seen}");
        assert!(
            seen.starts_with(&format!("77\n/{directory}\nof the volume{}", first_word(hostile))),
            "{seen:?}"
        );
        assert_eq!(seen.split_whitespace().last(), echoed.split_whitespace().last(), "{seen:?}");
    }
    for field in ["user", "group"] {
        let mut image = manifest("hostile", &["/bin/true"]);
        image["app"][field] = json!(INJECTION);
        refused(&image, "invalid user or group");
    }
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap()
}

#[root_test]
fn case_35_a_user_is_a_name_first_and_then_a_number() {
    let passwd = "root:x:0:0:::\n0day:x:123:7:::\n9:x:0:0:::\n".into();
    let rootfs = Rootfs::busybox().unwrap().with("etc/passwd", Node::File(0o644, passwd));
    let mut image = manifest("user", &["id", "-u"]);
    for (user, uid) in [("0day", "123\n"), ("9", "0\n"), ("65534", "65534\n")] {
        image["app"]["user"] = json!(user);
        assert_eq!(run(&rootfs, &image, &[]), uid, "{user}");
    }
    for (user, why) in [
        ("1day", "not found"),
        ("-1", "invalid user or group"),
        ("4294967295", "4294967295"),
        ("65535", "65535"),
        ("4294967296", "4294967296"),
        ("", "invalid user or group"),
    ] {
        image["app"]["user"] = json!(user);
        refused(&image, why);
    }
    // Users of an app's own end before these.
    for user in ["65536", "4294967294"].into_iter().filter(|_| !users::are_hosts()) {
        image["app"]["user"] = json!(user);
        refused(&image, user);
    }
}

#[root_test]
fn case_36_volume_sources_have_any_character() {
    let gantry = Gantry::new();
    let source = gantry.beside("a:b\\c %n");
    fs::create_dir(&source).unwrap();
    let mut image = manifest("volume", &["/bin/sh", "-c", "echo written > /v/file"]);
    image["app"]["mountPoints"] = json!([{"name": "v", "path": "/v"}]);
    let image = gantry.image("volume", &Rootfs::busybox().unwrap(), &image);
    for empty in ["v,kind=host,source=", "v,kind=host,source"] {
        refused_with(&gantry, &image, &["--volume", empty], 2, "invalid");
    }
    let argument = format!("v,kind=host,source={}", source.display());
    let output = gantry.with_images("run", &[&image], &["--volume", &argument]).output().unwrap();
    gantry.wait_all();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "written\n");
}

#[root_test]
fn case_37_a_mount_target_leads_out_of_no_root() {
    let gantry = Gantry::new();
    let source = gantry.beside("source");
    fs::create_dir(&source).unwrap();
    let name = format!("gantry-case-37-{}", std::process::id());
    let mut image = manifest("link", &["/bin/sh", "-c", &format!("echo in > /{name}/file")]);
    image["app"]["mountPoints"] = json!([{"name": "v", "path": format!("/to/root/{name}")}]);
    // /to/root leads to a root: it must be the app's.
    let rootfs = Rootfs::busybox()
        .unwrap()
        .with("to/root", Node::Link("/".into()))
        .with("up", Node::Link("../../../../../..".into()));
    let image = gantry.image("link", &rootfs, &image);
    let argument = format!("v,kind=host,source={}", source.display());
    let output = gantry.with_images("run", &[&image], &["--volume", &argument]).output().unwrap();
    gantry.wait_all();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "in\n");
    assert!(!Path::new("/").join(&name).exists(), "nothing is made on the host");
}

#[root_test]
fn case_38_a_pod_lives_below_any_path() {
    let gantry = Gantry::new();
    let image = gantry.image("any", &Rootfs::busybox().unwrap(), &manifest("any", &["true"]));
    let dir = gantry.beside("with space:colon\\back,comma=%n");
    let installer = |words: &[&str]| {
        let mut command = std::process::Command::new(testing::program("installer"));
        command.env_clear().env("GANTRY_STAGE1", testing::stage1()).arg("--dir").arg(&dir).args(words);
        command.output().unwrap()
    };
    let output = installer(&["prepare", "--image", image.to_str().unwrap()]);
    let pod = text(&output.stdout).trim_end_matches('\n').to_owned();
    assert!(pod.starts_with(dir.to_str().unwrap()), "{pod} {}", text(&output.stderr));
    let ran = installer(&["run", &pod]);
    assert_eq!((ran.status.code(), text(&ran.stderr).as_str()), (Some(0), ""));
    assert_eq!(status(Path::new(&pod), "any"), 0);
}
