//! How to make a container again that is gone: the same image, configuration,
//! volumes, networks and name. What a container wrote beside its volumes is lost
//! with it; nobody can bring that back.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig,
    MountPoint, NetworkingConfig,
};
use serde::{Deserialize, Serialize};

use super::names::{ContainerId, SHORT_ID_DIGITS};

/// How Docker writes that a container shares another one's network.
const OF_CONTAINER: &str = "container:";

/// Everything that it takes. Holds the container's environment, so it is as
/// secret as that.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Recipe {
    /// The image by its digest, so that a tag which has moved on changes nothing.
    image: String,
    config: ContainerConfig,
    host_config: HostConfig,
    /// Networks by name, each with what the container was given there.
    networks: BTreeMap<String, EndpointSettings>,
}

impl std::fmt::Debug for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipe").field("image", &self.image).finish_non_exhaustive()
    }
}

/// What to create, and what to connect it to before it is started.
pub(super) struct Ingredients {
    pub(super) body: ContainerCreateBody,
    pub(super) further_networks: Vec<(String, EndpointSettings)>,
}

impl Recipe {
    /// None if the daemon left out what is needed.
    pub(super) fn of(response: &ContainerInspectResponse) -> Option<Self> {
        let short_id = response.id.as_deref()?.get(..SHORT_ID_DIGITS)?;
        let mut config = response.config.clone()?;
        let mut host_config = response.host_config.clone()?;
        let shares_network = parent_in(&host_config).is_some();
        // A name that Docker made of the old id, or one that belongs to another.
        if shares_network || config.hostname.as_deref() == Some(short_id) {
            config.hostname = None;
        }
        let mounts = response.mounts.as_deref().unwrap_or_default();
        keep_anonymous_volumes(&mut host_config, mounts);
        let networks = response.network_settings.as_ref().and_then(|net| net.networks.clone());
        let networks = networks.unwrap_or_default().into_iter();
        Some(Self {
            image: response.image.clone()?,
            config,
            host_config,
            networks: networks.map(|(name, net)| (name, as_ordered(net, short_id))).collect(),
        })
    }

    pub(super) fn config(&self) -> &ContainerConfig {
        &self.config
    }

    pub(super) fn image(&self) -> &str {
        &self.image
    }

    /// Whose network it shares, if it has none of its own: an id or a name.
    pub(super) fn parent(&self) -> Option<&str> {
        parent_in(&self.host_config)
    }

    /// `parent` takes the place of the container whose network it shared.
    pub(super) fn ingredients(
        &self,
        parent: Option<&ContainerId>,
    ) -> Result<Ingredients, serde_json::Error> {
        let mut body: ContainerCreateBody =
            serde_json::from_value(serde_json::to_value(&self.config)?)?;
        let mut host_config = self.host_config.clone();
        if let Some(parent) = parent {
            host_config.network_mode = Some(format!("{OF_CONTAINER}{parent}"));
        }
        let mode = host_config.network_mode.clone().unwrap_or_default();
        let mut networks = self.networks.clone();
        if let Some((name, endpoint)) = self.first_network(&mode) {
            networks.remove(&name);
            let endpoints = HashMap::from([(name, endpoint)]);
            body.networking_config = Some(NetworkingConfig { endpoints_config: Some(endpoints) });
        } else {
            networks.clear();
        }
        body.image = Some(self.image.clone());
        body.host_config = Some(host_config);
        Ok(Ingredients { body, further_networks: networks.into_iter().collect() })
    }

    /// The network that its mode names. Engines before 25 take no further ones
    /// when a container is created; those are connected afterwards.
    fn first_network(&self, mode: &str) -> Option<(String, EndpointSettings)> {
        let name = match mode {
            "host" | "none" => return None,
            "" | "default" => "bridge",
            mode if mode.starts_with(OF_CONTAINER) => return None,
            mode => mode,
        };
        // The mode may name it by its id.
        let named = |(known, net): &(&String, &EndpointSettings)| {
            known.as_str() == name || net.network_id.as_deref() == Some(name)
        };
        let (name, endpoint) = self.networks.iter().find(named)?;
        Some((name.clone(), EndpointSettings { network_id: None, ..endpoint.clone() }))
    }
}

/// Whose network a container shares, if it has none of its own.
pub(super) fn parent_of(response: &ContainerInspectResponse) -> Option<&str> {
    parent_in(response.host_config.as_ref()?)
}

fn parent_in(host_config: &HostConfig) -> Option<&str> {
    host_config.network_mode.as_deref()?.strip_prefix(OF_CONTAINER)
}

/// What was asked for, without what Docker made of it.
fn as_ordered(endpoint: EndpointSettings, short_id: &str) -> EndpointSettings {
    let mut aliases = endpoint.aliases;
    if let Some(aliases) = &mut aliases {
        aliases.retain(|alias| alias != short_id);
    }
    EndpointSettings {
        ipam_config: endpoint.ipam_config,
        links: endpoint.links,
        aliases,
        driver_opts: endpoint.driver_opts,
        gw_priority: endpoint.gw_priority,
        network_id: endpoint.network_id,
        ..EndpointSettings::default()
    }
}

/// A volume that the image asks for has no name in the configuration, only in the
/// container that is gone. By that name the next one finds the data again.
fn keep_anonymous_volumes(host_config: &mut HostConfig, mounts: &[MountPoint]) {
    let bound: Vec<String> = {
        let binds = host_config.binds.iter().flatten();
        let binds = binds.filter_map(|bind| bind.split(':').nth(1).map(str::to_owned));
        let mounts = host_config.mounts.iter().flatten();
        binds.chain(mounts.filter_map(|mount| mount.target.clone())).collect()
    };
    for mount in mounts.iter().filter(|mount| mount.typ.as_deref() == Some("volume")) {
        if let (Some(name), Some(destination)) = (&mount.name, &mount.destination)
            && !bound.contains(destination)
        {
            let binds = host_config.binds.get_or_insert_default();
            binds.push(format!("{name}:{destination}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn response(network_mode: &str) -> ContainerInspectResponse {
        serde_json::from_value(json!({
            "Id": "0123456789abcdef".repeat(4),
            "Name": "/ws-1",
            "Image": "sha256:1234",
            "Config": {
                "Hostname": "0123456789ab",
                "Image": "agent:latest",
                "Env": ["REPRIEVE_TOKEN=0123456789abcdef"],
                "Cmd": ["agent"],
                "ExposedPorts": {"80/tcp": {}},
                "Labels": {"reprieve.workspace": "ws-1"},
            },
            "HostConfig": {
                "NetworkMode": network_mode,
                "Binds": ["data:/data:ro"],
                "Mounts": [{"Target": "/cache", "Source": "cache", "Type": "volume"}],
            },
            "Mounts": [
                {"Type": "volume", "Name": "data", "Destination": "/data"},
                {"Type": "volume", "Name": "cache", "Destination": "/cache"},
                {"Type": "volume", "Name": "f00", "Destination": "/state"},
                {"Type": "bind", "Source": "/etc", "Destination": "/etc"},
            ],
            "NetworkSettings": {"Networks": {
                "agents": {
                    "NetworkID": "77", "IPAddress": "172.18.0.2", "EndpointID": "e",
                    "Aliases": ["web", "0123456789ab"],
                    "IPAMConfig": {"IPv4Address": "172.18.0.2"},
                },
                "other": {"NetworkID": "78", "IPAddress": "172.19.0.2"},
            }},
        }))
        .unwrap()
    }

    fn made_again(network_mode: &str, parent: Option<&ContainerId>) -> (Value, Vec<String>) {
        let recipe = Recipe::of(&response(network_mode)).unwrap();
        // What is kept on disk is as good.
        let recipe: Recipe = serde_json::from_str(&json!(recipe).to_string()).unwrap();
        let Ingredients { body, further_networks } = recipe.ingredients(parent).unwrap();
        (json!(body), further_networks.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn a_container_is_made_again_as_it_was_ordered() {
        let (body, further) = made_again("agents", None);
        assert_eq!(body["Image"], "sha256:1234", "the digest, not the tag");
        assert_eq!(body["Env"], json!(["REPRIEVE_TOKEN=0123456789abcdef"]));
        assert_eq!(body["ExposedPorts"], json!({"80/tcp": {}}));
        assert_eq!(body["Labels"]["reprieve.workspace"], "ws-1");
        assert_eq!(body.get("Hostname"), None, "Docker makes it of the new id");
        let binds = json!(["data:/data:ro", "f00:/state"]);
        assert_eq!(body["HostConfig"]["Binds"], binds, "an anonymous volume is found again");
        let agents = &body["NetworkingConfig"]["EndpointsConfig"]["agents"];
        assert_eq!(agents["Aliases"], json!(["web"]), "the old id is nobody's alias");
        assert_eq!(agents["IPAMConfig"]["IPv4Address"], "172.18.0.2", "an address asked for");
        assert_eq!(agents.get("IPAddress"), None, "an address given is not asked for");
        assert_eq!(further, ["other"]);
    }

    #[test]
    fn a_network_is_found_by_its_mode() {
        for (mode, first) in [
            ("agents", Some("agents")),
            ("77", Some("agents")),
            ("default", None),
            ("host", None),
            ("none", None),
        ] {
            let (body, _) = made_again(mode, None);
            let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object();
            let names: Vec<&String> = endpoints.into_iter().flat_map(|e| e.keys()).collect();
            assert_eq!(names, first.as_slice(), "{mode}");
        }
    }

    #[test]
    fn a_child_of_a_container_made_again_shares_the_new_ones_network() {
        let parent: ContainerId = "fedcba9876543210".repeat(4).parse().unwrap();
        let old = format!("container:{}", "0".repeat(64));
        let (body, further) = made_again(&old, Some(&parent));
        assert_eq!(body["HostConfig"]["NetworkMode"], format!("container:{parent}"));
        assert_eq!(body.get("Hostname"), None, "Docker refuses a hostname there");
        assert!(further.is_empty());
        assert_eq!(Recipe::of(&response(&old)).unwrap().parent(), Some(&*"0".repeat(64)));
    }

    #[test]
    fn a_recipe_shows_no_secret() {
        let shown = format!("{:?}", Recipe::of(&response("agents")).unwrap());
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
    }
}
