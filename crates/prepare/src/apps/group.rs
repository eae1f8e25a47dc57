// SPDX-License-Identifier: Apache-2.0
//! Groups options by the image that they are for.
//!
//! With one image, options may stand anywhere. With several, those of an app stand after its image and before the next
//! one; an option before the first image is an error, because it could be meant for the first one alone or for all. What
//! stands after `--` is for the last image.

use pod::exec::Word;
use pod::text::escape;

use super::settings::{AppMount, AppOptions, Setting, VolumeOption};
use crate::volume_argument::VolumeArgument;
use image::ImageArgument;

/// A word of the command line, in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An image.
    Image(ImageArgument),
    /// Something about an app, and the option that says it.
    Setting(String, Setting),
    /// A volume or a mount.
    Volume(VolumeOption),
}

/// The options of a command line, by image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grouped {
    /// The images.
    pub images: Vec<ImageArgument>,
    /// The options for each image's app, in the images' order.
    pub apps: Vec<AppOptions>,
    /// The volumes of the pod.
    pub volumes: Vec<VolumeArgument>,
}

/// Groups `words` by image. `arguments` are the words after `--`.
///
/// # Errors
/// In one line, if it can't be told which image an option is for.
pub fn group(words: Vec<Said>, arguments: Option<Vec<Word>>) -> Result<Grouped, String> {
    let mut all = Grouped::default();
    // Until the first image, settings are those of that image, if it is the only one.
    let mut first = AppOptions::default();
    let mut before = None;
    for word in words {
        let (option, setting) = match word {
            Said::Image(image) => {
                all.images.push(image);
                all.apps.push(std::mem::take(&mut first));
                continue;
            }
            Said::Volume(VolumeOption::Volume(volume)) => {
                all.volumes.push(volume);
                continue;
            }
            Said::Volume(VolumeOption::Mount(mount)) => (mount_option(&mount), Setting::Mount(mount)),
            Said::Setting(option, setting) => (option, setting),
        };
        match all.apps.last_mut() {
            Some(app) => app.add(setting),
            None => {
                before.get_or_insert(option);
                first.add(setting);
            }
        }
    }
    match (before, all.images.len()) {
        (Some(option), 0) => return Err(format!("{option}: expected an image that it is for")),
        (Some(option), count @ 2..) => {
            return Err(format!(
                "{option} stands before the first of {count} images: expected each app's options after its image"
            ));
        }
        _ => {}
    }
    if let Some(arguments) = arguments {
        let app = all.apps.last_mut().ok_or("arguments after --: expected an image that they are for")?;
        app.arguments = Some(arguments);
    }
    Ok(all)
}

fn mount_option(mount: &AppMount) -> String {
    format!("the mount at {}", escape(mount.target.as_str()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn image(name: &str) -> Said {
        Said::Image(ImageArgument::parse(OsStr::new(name)).unwrap())
    }

    fn timeout(seconds: u32) -> Said {
        Said::Setting("--stop-timeout".into(), Setting::StopTimeout(seconds))
    }

    fn timeouts(words: &[Said]) -> Result<Vec<Option<u32>>, String> {
        group(words.to_vec(), None).map(|all| all.apps.iter().map(|app| app.stop_timeout).collect())
    }

    #[test]
    fn options_are_for_the_image_before_them() {
        let (a, b) = (image("a"), image("b"));
        assert_eq!(timeouts(&[]), Ok(vec![]));
        assert_eq!(timeouts(&[timeout(1), a.clone()]), Ok(vec![Some(1)]), "one image: also before it");
        assert_eq!(timeouts(&[timeout(1), a.clone(), timeout(2)]), Ok(vec![Some(2)]));
        assert_eq!(timeouts(&[a.clone(), timeout(1), b.clone()]), Ok(vec![Some(1), None]));
        assert_eq!(timeouts(&[a.clone(), b.clone(), timeout(1)]), Ok(vec![None, Some(1)]));
        let error = timeouts(&[timeout(1), a, b]).unwrap_err();
        assert_eq!(
            error,
            "--stop-timeout stands before the first of 2 images: expected each app's options after its image"
        );
        assert_eq!(timeouts(&[timeout(1)]).unwrap_err(), "--stop-timeout: expected an image that it is for");
    }

    #[test]
    fn arguments_are_for_the_last_image() {
        let words = |text: &str| Some(vec![Word::try_from(text.to_owned()).unwrap()]);
        let all = group(vec![image("a"), image("b")], words("x")).unwrap();
        let arguments: Vec<_> = all.apps.iter().map(|app| app.arguments.clone()).collect();
        assert_eq!(arguments, [None, words("x")]);
        assert!(group(vec![], words("x")).unwrap_err().contains("expected an image"));
    }

    #[test]
    fn volumes_are_the_pods_and_mounts_an_apps() {
        let volume = |text: &str| Said::Volume(VolumeOption::parse(text).unwrap());
        let all = group(
            vec![volume("data,kind=empty"), image("a"), volume("data:/srv"), image("b"), volume("/x:/y")],
            None,
        )
        .unwrap();
        assert_eq!(all.volumes.len(), 1);
        let targets: Vec<_> = all.apps.iter().map(|app| app.mounts[0].target.as_str()).collect();
        assert_eq!(targets, ["/srv", "/y"]);
    }
}
