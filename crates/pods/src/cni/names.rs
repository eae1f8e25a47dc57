// SPDX-License-Identifier: Apache-2.0
//! Turns what plugins say about names (CNI specification 1.0, `dns` of a result) into a resolv.conf (resolv.conf(5)).

use std::fmt::Display;
use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, bail};
use pod::layout;
use pod::network::HostName;
use rustix::fs::OFlags;
use serde_json::Value;

use crate::directory::Pod;

/// Writes it into the pod's file, in place: apps have a mount of it.
pub(super) fn write(pod: &Pod, dns: &Value) -> Result<()> {
    let Some(text) = resolv_conf(dns)? else { return Ok(()) };
    let path = format!("{}/{}", layout::STAGE1, layout::RESOLV_CONF);
    let file = pod.open_file(&path, OFlags::RDWR)?.with_context(|| format!("there is no {path}"))?;
    let file = File::from(file);
    file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0)).context(path)
}

/// Returns the file; `None` if nothing is said.
fn resolv_conf(dns: &Value) -> Result<Option<String>> {
    let words = |field: &str| words(dns, field).with_context(|| format!("dns.{field}"));
    let (servers, search, options) = (words("nameservers")?, words("search")?, words("options")?);
    let domain = dns["domain"].as_str().filter(|domain| !domain.is_empty());
    let mut text = String::new();
    for server in &servers {
        text += &format!("nameserver {}\n", parsed::<IpAddr>(server)?);
    }
    if let Some(domain) = domain {
        text += &format!("domain {}\n", parsed::<HostName>(domain)?);
    }
    // Of domain and search, the last one counts.
    if !search.is_empty() {
        let search = search.iter().map(|name| parsed::<HostName>(name).map(|name| name.to_string()));
        text += &format!("search {}\n", search.collect::<Result<Vec<_>>>()?.join(" "));
    }
    let is_option =
        |option: &&str| option.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_".contains(&byte));
    if let Some(option) = options.iter().find(|option| !is_option(option)) {
        bail!("invalid option {option:?}: expected one as ndots:2");
    }
    if !options.is_empty() {
        text += &format!("options {}\n", options.join(" "));
    }
    Ok((!text.is_empty()).then_some(text))
}

fn parsed<T: std::str::FromStr<Err: Display>>(word: &str) -> Result<T> {
    word.parse().map_err(|error: T::Err| anyhow::anyhow!("invalid value {word:?}: {error}"))
}

fn words<'v>(dns: &'v Value, field: &str) -> Result<Vec<&'v str>> {
    match &dns[field] {
        Value::Null => Ok(Vec::new()),
        Value::Array(all) => all.iter().map(|word| word.as_str().context("expected texts")).collect(),
        _ => bail!("expected a list of texts"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_plugins_say_is_a_resolv_conf() {
        let all = json!({
            "nameservers": ["10.1.0.1", "fd00::1"], "domain": "here", "search": ["a.example", "b.example"],
            "options": ["ndots:2"],
        });
        let expected = "nameserver 10.1.0.1\nnameserver fd00::1\ndomain here\nsearch a.example b.example\n\
                        options ndots:2\n";
        assert_eq!(resolv_conf(&all).unwrap().as_deref(), Some(expected));
        for nothing in [Value::Null, json!({}), json!({"nameservers": [], "domain": ""})] {
            assert_eq!(resolv_conf(&nothing).unwrap(), None);
        }
        for bad in [
            json!({"nameservers": ["10.1.0.1\nsearch evil"]}),
            json!({"nameservers": "10.1.0.1"}),
            json!({"search": ["a b"]}),
            json!({"options": ["ndots 2"]}),
            json!({"domain": "a\nb"}),
        ] {
            assert!(resolv_conf(&bad).is_err(), "{bad}");
        }
    }
}
