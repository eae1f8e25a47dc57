// SPDX-License-Identifier: Apache-2.0
//! Fetches images from registries, and obeys what the host says about registries. No other crate speaks HTTP.
//!
//! The crate moves bytes and reads JSON. It decodes no layer, knows no store and prints nothing. All that it returns
//! has the digest that was asked for; what is in it is for others to judge.
//!
//! # From a name to bytes
//!
//! 1. [`Places`] says where the host keeps its files. The environment is read there, once, where a program begins.
//! 2. [`Name::parse`] reads what a person typed. [`registries::Registries::resolve`] makes a [`Reference`] of it; a short
//!    name is an alias, or belongs to the one registry that is searched, or is an error that has the full name in it.
//! 3. [`Policy::decide`] allows the image, rejects it, or asks for signatures. It is asked first: of an image that is
//!    rejected, nothing is fetched.
//! 4. [`registries::Registries::plan`] lists the endpoints: mirrors, then the registry. This is pure.
//! 5. [`Client::pull`] begins. [`Pull::manifest`] fetches the document that the reference names, and
//!    [`Pull::manifest_at`] others of the repository, such as the one that an index names for a platform.
//! 6. [`Pull::verify`] checks signatures, if the policy asked for some, before any layer is fetched.
//! 7. [`Pull::blobs`] fetches config and layers side by side into [`Sink`]s: files that may hold the beginning from an
//!    earlier try.
//!
//! ```no_run
//! use std::fs::File;
//! use registry::policy::Image;
//! use registry::registries::Registries;
//! use registry::{Blob, Client, Decision, Error, Name, Options, Places, Policy, Proxies, Silent, Version, Wanted};
//!
//! fn pull(name: &str, chosen: Version, blobs: Vec<(Blob, File)>) -> Result<(), Error> {
//!     let places = Places::from_environment(|name| std::env::var_os(name));
//!     let registries = Registries::load(&places.registries)?;
//!     let reference = registries.resolve(&Name::parse(name)?)?;
//!     let decision = match Policy::load(&places.policies)? {
//!         Some(policy) => policy.decide(&Image::Registry(&reference))?,
//!         None => Decision::Accept,
//!     };
//!     let options = Options {
//!         credentials: places.credentials,
//!         certificates: places.certificates,
//!         proxies: Proxies::from_environment(|name| std::env::var(name).ok())?,
//!         ..Options::default()
//!     };
//!     let client = Client::new(options, &Silent);
//!     let pull = client.pull(&registries.plan(&reference)?);
//!     let index = pull.manifest()?;
//!     let manifest = pull.manifest_at(&chosen)?; // which one is said by the index
//!     if let Decision::Signed(signatures) = decision {
//!         pull.verify(&signatures, &[index.digest, manifest.digest])?;
//!     }
//!     let wanted = blobs.into_iter().map(|(blob, sink)| Wanted { blob, sink }).collect();
//!     pull.blobs(wanted, 4, &|_blob, file| file.sync_all()) // and publish it
//! }
//! ```
//!
//! # What holds
//!
//! - A blob that is complete has its size and digest. A sink whose blob is not complete holds its beginning, or nothing.
//! - Credentials are sent to the endpoint that asks for them, or the token server that it names, and to nobody else: not
//!   along a redirect, not to a helper of another registry, not into a message. Types that hold one print `***`.
//! - Without `insecure` in registries.conf, no byte is asked for without TLS and a certificate that is trusted.
//! - What a registry says is bounded: documents, tokens, redirects, waits, tries. A token is renewed once in a request,
//!   TLS errors and refusals are not tried again.
//! - An error is one line without control characters. It names the image, the endpoint and what was expected; if all
//!   endpoints fail, each is named.
//! - A caller's flag ends reads and waits within a fraction of a second; a connection that is being made ends with its
//!   own limit ([`Limits::connect`]).
//! - A policy that isn't understood allows nothing.

pub mod auth;
mod cancel;
pub mod certs;
pub mod challenge;
pub mod client;
mod document;
mod error;
mod host;
mod key;
mod listener;
mod places;
pub mod policy;
mod proxy;
pub mod reference;
pub mod registries;
mod signature;

pub use client::{Blob, Client, Kind, Limits, Manifest, Options, Pull, Repository, Sink, Wanted, verify};
pub use error::{Attempt, Error, Failure, Meaning};
pub use host::Host;
pub use listener::{Listener, Progress, Silent};
pub use places::Places;
pub use policy::{Decision, Policy, Signatures};
pub use proxy::Proxies;
pub use reference::{Name, Reference, Tag, Version};
