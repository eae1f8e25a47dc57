// SPDX-License-Identifier: Apache-2.0
//! A host's policy.json holds for files and directories, too, whatever they are called.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;

use gate::root_test;
use serde_json::json;
use testing::oci::{NAME, OciImage};
use testing::pods::{Gantry, assert_says, text};
use testing::rootfs::Rootfs;

/// Imports an image on a host with this policy.
fn import(gantry: &Gantry, policy: &serde_json::Value, image: &str) -> Output {
    let config = gantry.beside("config");
    fs::create_dir_all(config.join("containers")).unwrap();
    fs::write(config.join("containers/policy.json"), policy.to_string()).unwrap();
    gantry.installer().env("XDG_CONFIG_HOME", config).args(["image", "import", image]).output().unwrap()
}

#[root_test]
fn a_rejected_image_has_no_other_name() {
    let gantry = Gantry::new();
    let (layout, link, archive) = (gantry.beside("layout"), gantry.beside("link"), gantry.beside("archive"));
    let image = OciImage::new(&[&Rootfs::busybox().unwrap()], &json!({"Cmd": ["/bin/true"]}));
    image.write_layout(&layout);
    image.write_archive(&archive);
    symlink("layout", &link).unwrap();
    let (reject, accept) = (json!([{"type": "reject"}]), json!([{"type": "insecureAcceptAnything"}]));
    let path = layout.canonicalize().unwrap();
    let forms = [
        format!("oci:{}", layout.display()),
        format!("oci:{}:{NAME}", layout.display()),
        format!("oci:{}", link.display()),
        format!("{}", layout.display()),
        format!("{}@{}", link.display(), image.id),
    ];
    for scope in [path.display().to_string(), format!("{}:{NAME}", path.display())] {
        let policy = json!({"default": accept, "transports": {"oci": {scope.clone(): reject}}});
        for form in &forms {
            let output = import(&gantry, &policy, form);
            assert_eq!(output.status.code(), Some(1), "{scope} {form}");
            assert_says(&text(&output.stderr), &["policy.json", "reject", &scope]);
            assert!(!gantry.dir().exists());
        }
        let output = import(&gantry, &policy, archive.to_str().unwrap());
        assert!(output.status.success(), "another file: {}", text(&output.stderr));
        fs::remove_dir_all(gantry.dir()).unwrap();
    }
    let output = import(&gantry, &json!({"default": reject}), archive.to_str().unwrap());
    assert_says(&text(&output.stderr), &["policy.json", "reject", "default"]);
    let aci = gantry.image("a", &Rootfs::busybox().unwrap(), &testing::image::manifest("a", &["/bin/true"]));
    let output = import(&gantry, &json!({"default": reject}), aci.to_str().unwrap());
    assert_says(&text(&output.stderr), &["policy.json", "reject", "default"]);
}
