// SPDX-License-Identifier: Apache-2.0
//! Units: for any manifests, the rendered units follow Gantry's own strict rules (`unit_rules`), and the launch files
//! have exactly the manifests' programs.
//!
//! The bytes are choices that make mostly valid manifests, so that they become units.

use std::collections::BTreeMap;
use std::io;

use arbitrary::Unstructured;
use pod::exec::{Exec, Word};
use pod::id::ImageId;
use pod::isolators::CapabilitySet;
use pod::manifest::{ImageManifest, Manifest};
use pod::path::AbsolutePath;
use pod::user::ImageRoot;
use pod::{Accounts, App, Pod, layout};
use stage1_init::host::{Controllers, Host};
use stage1_init::ids::Ids;
use stage1_init::launch_file::Launch;
use stage1_init::network::Network;
use stage1_init::plan::{Options, Plan, plan};
use stage1_init::{Documents, Loaded, Store, Tree, dry_run};

use crate::pods::{self, Chosen};
use crate::{check_message, unit_rules};

/// Plans a pod, if the choices make one.
///
/// # Panics
/// Panics if a property does not hold.
pub fn check(data: &[u8]) -> bool {
    let mut choices = Unstructured::new(data);
    let Ok(chosen) = pods::choose(&mut choices) else { return false };
    let Some(loaded) = load(&chosen) else { return false };
    let host = host(&mut choices).unwrap_or_default();
    let planned = plan(&loaded, &host, &Options::default());
    assert_eq!(planned, plan(&loaded, &host, &Options::default()), "one pod, two plans");
    for (path, file) in &planned.files {
        unit_rules::check_path(path);
        if path.starts_with(layout::UNITS) {
            unit_rules::check_unit(&file.content);
        }
    }
    for (link, target) in &planned.links {
        unit_rules::check_path(link);
        let unit = target.strip_prefix("../").unwrap();
        assert!(planned.files.contains_key(&format!("{}/{unit}", layout::UNITS)), "{link} leads to nothing");
    }
    for word in &planned.nspawn {
        assert!(word.bytes().all(|byte| byte.is_ascii_graphic()), "{word:?}");
    }
    for app in &loaded.pod.apps {
        check_app(app, &loaded.credentials[&app.name], &planned);
    }
    for line in dry_run::text(&planned).split('\n') {
        assert_eq!(pod::text::one_line(line), line);
    }
    true
}

/// Returns the pod that the manifests mean, or checks that they are refused in one line.
fn load(chosen: &Chosen) -> Option<Loaded> {
    let refused = |error: pod::Error| check_message(&error.to_string());
    let manifest = Manifest::parse(chosen.manifest.to_string().as_bytes()).map_err(refused).ok()?;
    let mut images = BTreeMap::new();
    for (id, image) in &chosen.images {
        let image = ImageManifest::parse(image.to_string().as_bytes()).map_err(refused).ok()?;
        images.insert(id.parse::<ImageId>().unwrap(), image);
    }
    let pod = Pod::assemble(pods::ID.parse().unwrap(), &manifest, &images).map_err(refused).ok()?;
    pod.warnings.iter().for_each(|warning| check_message(warning));
    let root = Files { accounts: &chosen.accounts };
    let mut credentials = BTreeMap::new();
    for app in &pod.apps {
        let Accounts { uid, gid, supplementary, person } = app.accounts(&root).map_err(refused).ok()?;
        app.check_sizes(person.as_ref()).map_err(refused).ok()?;
        credentials.insert(app.name.clone(), Accounts { uid, gid, supplementary, person });
    }
    let trees = pod.apps.iter().map(|app| (app.name.clone(), Tree::Own(layout::image_rootfs(&app.image))));
    let trees = trees.collect();
    let (hosts, documents, store) = (BTreeMap::new(), Documents::default(), Store::default());
    Some(Loaded { pod, credentials, stage1: None, trees, hosts, documents, store })
}

fn host(choices: &mut Unstructured<'_>) -> arbitrary::Result<Host> {
    Ok(Host {
        controllers: Controllers {
            cpu: choices.arbitrary()?,
            memory: choices.arbitrary()?,
            pids: choices.arbitrary()?,
            io: choices.arbitrary()?,
        },
        capabilities: CapabilitySet::from_bits(choices.arbitrary()?),
        oom_score_adjust: choices.int_in_range(-1000..=1000)?,
        ids: choices.arbitrary::<bool>()?.then(|| Ids::new(0x4000_0000, 4)),
        network: Network {
            resolv_conf: choices.arbitrary::<Option<&str>>()?.map(str::to_owned),
            ..Network::default()
        },
        metadata: None,
        zone: None,
        block_devices: vec!["8:0".into()],
    })
}

/// An image's tree, in which every file has the same contents.
struct Files<'a> {
    accounts: &'a [u8],
}

impl ImageRoot for Files<'_> {
    fn read(&self, _: &AbsolutePath, _: u64) -> io::Result<Vec<u8>> {
        Ok(self.accounts.to_vec())
    }

    fn owner(&self, _: &AbsolutePath) -> io::Result<(u32, u32)> {
        Ok((u32::MAX, 7))
    }
}

/// Checks that each of the app's programs has a unit and a launch file, and that these say what was meant.
fn check_app(app: &App, credentials: &Accounts, planned: &Plan) {
    let programs = [
        ("pre-start", app.pre_start.as_ref()),
        ("app", Some(&app.exec)),
        ("post-stop", app.post_stop.as_ref()),
    ];
    for (role, exec) in programs {
        let service = format!("{role}-{}", app.name);
        let unit = planned.files.get(&format!("{}/{service}.service", layout::UNITS));
        let launch = planned.files.get(&format!("{}/launch/{service}", layout::OWN));
        assert_eq!((unit.is_some(), launch.is_some()), (exec.is_some(), exec.is_some()), "{service}");
        let (Some(exec), Some(unit), Some(launch)) = (exec, unit, launch) else { continue };
        for line in [
            "ExecStart=:/usr/lib/gantry/launch".into(),
            format!("StandardInput=file:/{}/launch/{service}", layout::OWN),
        ] {
            assert_eq!(
                unit.content.split('\n').filter(|found| *found == line).count(),
                1,
                "{service}: {line}"
            );
        }
        let launch: Launch = serde_json::from_str(&launch.content).unwrap();
        assert_eq!((launch.user, launch.group), (credentials.uid, credentials.gid), "{service}");
        check_launch(app, exec, &launch);
    }
}

fn check_launch(app: &App, exec: &Exec, launch: &Launch) {
    let words: Vec<_> = exec.words().iter().map(Word::as_str).collect();
    let found: Vec<_> = launch.exec.words().iter().map(Word::as_str).collect();
    assert_eq!(found, words);
    assert_eq!(launch.directory, app.working_directory);
    assert_eq!(launch.root.as_str(), format!("/{}", layout::app(&app.name)));
    let found: BTreeMap<_, _> = launch.environment.iter().map(|(name, value)| (name, value)).collect();
    let own: BTreeMap<_, _> = app.environment.iter().map(|(name, value)| (name, value)).collect();
    for (name, value) in own {
        assert_eq!(found.get(name), Some(&value), "{name}");
    }
    // The kernel's strings end at the first NUL.
    let words =
        launch.exec.words().iter().chain(launch.environment.iter().map(|(_, value)| value)).map(Word::as_str);
    words.chain([launch.directory.as_str()]).for_each(|word| assert!(!word.contains('\0'), "{word:?}"));
}
