// SPDX-License-Identifier: Apache-2.0
//! OCI images: layers and a configuration, named by digests (OCI image spec).
//!
//! ```text
//! what a person types ──► reference ──► source ──► documents ──► OciImage ──► config ──► image manifest of appc
//!                                                                   └──► layers ──► the worker
//! ```
//!
//! Documents are parsed from bytes by pure functions, strictly where the specification is: what two readers could
//! understand differently is refused. Sources are files: a layout's directory or an archive. A registry's fetcher brings
//! the same documents from elsewhere.
//!
//! Invariants: no layer is decoded here. A blob's bytes are used only once they have the digest and the size by which
//! they are called. Text from a document reaches a message only escaped.

pub mod app;
mod config;
mod descriptor;
mod docker_save;
mod document;
mod error;
mod failure;
mod import;
mod kept;
mod layout_names;
mod media;
mod platform;
pub mod reference;
mod save;
mod select;
pub mod source;

pub use config::{Config, Healthcheck, History, RunConfig};
pub use descriptor::Descriptor;
pub use docker_save::SavedImage;
pub use document::{DOCUMENT_MAX, Document, Index, Manifest};
pub use error::Error;
pub use failure::Failure;
pub use import::{
    CONFIG, labels, layered, not_honoured, open, open_directory, open_file, platform_of, sha512_of, tree_id,
};
pub use kept::{kept, layered_of};
pub use media::MediaType;
pub use platform::Platform;
pub use save::SavedLayout;
pub use select::{Documents, Selected, select, select_in};
pub use source::{Archive, Content, Form, ImageLayer, OciImage, Source, recognise, starts_as_aci};
