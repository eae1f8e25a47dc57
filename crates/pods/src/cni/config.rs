// SPDX-License-Identifier: Apache-2.0
//! Configuration lists of networks: files of the host's (CNI specification, section 1).

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use pod::network::CniName;
use pod::text::escape;
use report::Hint as _;
use serde_json::{Map, Value};
use store::guarded;
use sys::in_root::reopen;

use crate::cni::places::{CONFIGURATIONS_VARIABLE, Places};
use crate::cni::plugin::{Call, program, run};

/// The capability of plugins that publish ports (CNI's CONVENTIONS.md).
pub(crate) const PORT_MAPPINGS: &str = "portMappings";
/// The longest configuration: with the result of other plugins, it is to fit into a pipe.
const LENGTH_MAX: u64 = 32 << 10;

/// A network's plugins, in the order in which they add a pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Configuration {
    pub(crate) name: String,
    version: String,
    plugins: Vec<Map<String, Value>>,
}

impl Configuration {
    /// Finds the network of this name: the first file that has it, in the order of the files' names.
    pub(crate) fn find(places: &Places, name: &CniName) -> Result<Self> {
        let mut others = Vec::new();
        for path in files(&places.networks)? {
            // A file of another network's that can't be used doesn't matter.
            match Self::read(&path) {
                Ok(found) if found.name == name.as_str() => {
                    return found.usable(places).with_context(|| format!("CNI network {name}"));
                }
                Ok(found) => others.push(escape(&found.name)),
                Err(error) => others.push(format!("none in {} ({error:#})", path.display())),
            }
        }
        let there = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        let directory = places.networks.display();
        Err(anyhow!("unknown CNI network {name}: expected one of {directory}, which has: {there}"))
    }

    fn read(path: &Path) -> Result<Self> {
        let file = guarded::open(path)?;
        sys::guarded::check(&file)?;
        let mut text = Vec::new();
        reopen(&file)?.take(LENGTH_MAX + 1).read_to_end(&mut text)?;
        ensure!(text.len() as u64 <= LENGTH_MAX, "expected at most {LENGTH_MAX} bytes");
        Self::parse(serde_json::from_slice(&text)?)
    }

    /// Reads a list of plugins, or the configuration of a single one.
    pub(crate) fn parse(mut value: Value) -> Result<Self> {
        let text = |value: &Value, field: &str| value[field].as_str().map(str::to_owned);
        let name = text(&value, "name").context("expected a name")?;
        let version = text(&value, "cniVersion").unwrap_or_else(|| "0.2.0".to_owned());
        let plugins = match value.as_object_mut().and_then(|fields| fields.remove("plugins")) {
            Some(Value::Array(plugins)) => plugins,
            None => vec![value],
            Some(_) => bail!("expected a list of plugins"),
        };
        let plugin = |value| match value {
            Value::Object(fields) => Ok(fields),
            _ => bail!("expected a plugin to be an object"),
        };
        let plugins = plugins.into_iter().map(plugin).collect::<Result<Vec<_>>>()?;
        ensure!(!plugins.is_empty(), "expected a plugin");
        Ok(Self { name, version, plugins })
    }

    /// Checks that there is a program for each plugin. Those that these call in turn are not looked for.
    fn usable(self, places: &Places) -> Result<Self> {
        for plugin in &self.plugins {
            program(name_of(plugin)?, &places.plugins)?;
        }
        Ok(self)
    }

    /// Returns it as a file would have it.
    pub(crate) fn to_json(&self) -> Value {
        serde_json::json!({"name": self.name, "cniVersion": self.version, "plugins": self.plugins})
    }

    /// Tells whether a plugin is capable of something.
    pub(crate) fn has_capability(&self, name: &str) -> bool {
        self.plugins.iter().any(|plugin| is_capable(plugin, name))
    }

    /// Adds a pod: each plugin gets the result of the one before. Returns the last one's.
    pub(crate) fn add(&self, call: &Call<'_>, ports: &Value) -> Result<Value> {
        let mut result = Value::Null;
        for plugin in &self.plugins {
            result = run(name_of(plugin)?, &self.request(plugin, ports, &result), call)?;
        }
        Ok(result)
    }

    /// Deletes a pod: the plugins are asked in the other order. All are asked, and the first error counts.
    pub(crate) fn delete(&self, call: &Call<'_>, ports: &Value, result: &Value) -> Result<()> {
        let all = self.plugins.iter().rev();
        let asked = all.map(|plugin| run(name_of(plugin)?, &self.request(plugin, ports, result), call));
        let failed = asked.collect::<Vec<_>>().into_iter().find_map(Result::err);
        failed.map_or(Ok(()), Err)
    }

    /// Returns what a plugin reads (CNI specification, section 4).
    fn request(&self, plugin: &Map<String, Value>, ports: &Value, before: &Value) -> Value {
        let mut request = plugin.clone();
        let mut put = |name: &str, value: Value| drop(request.insert(name.to_owned(), value));
        put("name", self.name.clone().into());
        put("cniVersion", self.version.clone().into());
        if !before.is_null() {
            put("prevResult", before.clone());
        }
        if !ports.is_null() && is_capable(plugin, PORT_MAPPINGS) {
            put("runtimeConfig", serde_json::json!({(PORT_MAPPINGS): ports}));
        }
        request.remove("capabilities");
        request.into()
    }
}

fn is_capable(plugin: &Map<String, Value>, of: &str) -> bool {
    plugin.get("capabilities").is_some_and(|capabilities| capabilities[of] == true)
}

/// Returns the name of a plugin's program.
fn name_of(plugin: &Map<String, Value>) -> Result<&str> {
    let name = plugin.get("type").and_then(Value::as_str).context("a plugin has no type")?;
    ensure!(
        !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.'),
        "invalid type of a plugin {}: expected a program's name",
        escape(name)
    );
    Ok(name)
}

/// Lists the files of a directory that may have a network, in order.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let about = || format!("cannot list {}", directory.display());
    let listed = fs::read_dir(directory).with_context(about);
    let entries =
        listed.hint(format!("networks are configured there; {CONFIGURATIONS_VARIABLE} names another place"));
    let mut all = Vec::new();
    for entry in entries? {
        let path = entry.with_context(about)?.path();
        if path.extension().is_some_and(|kind| kind == "conflist" || kind == "conf" || kind == "json") {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plugin_reads_its_own_part_with_what_is_common() {
        let list = json!({"cniVersion": "1.0.0", "name": "web", "plugins": [
            {"type": "ptp", "ipam": {"type": "host-local"}},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ]});
        let read = Configuration::parse(list.clone()).unwrap();
        assert_eq!(read.to_json(), list);
        assert!(read.has_capability("portMappings"));
        let ports = json!([{"hostPort": 80}]);
        let expected =
            json!({"cniVersion": "1.0.0", "name": "web", "type": "ptp", "ipam": {"type": "host-local"}});
        assert_eq!(read.request(&read.plugins[0], &ports, &Value::Null), expected);
        let expected = json!({"cniVersion": "1.0.0", "name": "web", "type": "portmap", "prevResult": {"ips": []},
            "runtimeConfig": {"portMappings": [{"hostPort": 80}]}});
        assert_eq!(read.request(&read.plugins[1], &ports, &json!({"ips": []})), expected);
    }

    #[test]
    fn a_single_plugin_is_a_list_of_one() {
        let one = json!({"cniVersion": "0.3.1", "name": "web", "type": "bridge"});
        let read = Configuration::parse(one.clone()).unwrap();
        assert_eq!(read.request(&read.plugins[0], &Value::Null, &Value::Null), one);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for (bad, why) in [
            (json!({}), "expected a name"),
            (json!({"name": "a", "plugins": {}}), "expected a list of plugins"),
            (json!({"name": "a", "plugins": []}), "expected a plugin"),
            (json!({"name": "a", "plugins": [1]}), "expected a plugin to be an object"),
        ] {
            assert_eq!(Configuration::parse(bad).unwrap_err().to_string(), why);
        }
        for bad in [json!({}), json!({"type": ""}), json!({"type": "../sh"}), json!({"type": ".."})] {
            let list = Configuration::parse(json!({"name": "a", "plugins": [bad]})).unwrap();
            let places = Places { networks: "/".into(), plugins: "/bin".into() };
            let error = list.usable(&places).unwrap_err().to_string();
            assert!(error.contains("type"), "{error}");
        }
    }
}
