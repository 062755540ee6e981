//! `vatic status`: members, groups and leaders.

use serde_json::{Value as Json, json};
use vatic_client::{Cluster, Group, Member};

use crate::args::Output;
use crate::output;
use crate::settings::Settings;

const MEMBER_COLUMNS: [&str; 4] = ["node", "client", "peer", "reachable"];
const GROUP_COLUMNS: [&str; 5] = ["group", "leader", "term", "replicas", "undecided"];

pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let cluster = settings.connect().await?.cluster(false).await?;
    let members: Vec<Json> = cluster.members.iter().map(of_member).collect();
    let groups: Vec<Json> = cluster.groups.iter().map(of_group).collect();
    if settings.output != Output::Table {
        return Ok(output::object(settings.output, &of_cluster(&cluster, members, groups))?);
    }
    output::line(&output::table(&MEMBER_COLUMNS, &members))?;
    output::line(&output::table(&GROUP_COLUMNS, &groups))?;
    let ready = if cluster.ready { "ready" } else { "not ready" };
    let (version, epoch) = (&cluster.version, cluster.ring_epoch);
    Ok(output::line(&format!("vatic {version}, ring epoch {epoch}, {ready}"))?)
}

fn of_cluster(cluster: &Cluster, members: Vec<Json>, groups: Vec<Json>) -> Json {
    json!({
        "node": cluster.node_id,
        "version": cluster.version,
        "ring_epoch": cluster.ring_epoch,
        "ready": cluster.ready,
        "members": members,
        "groups": groups,
    })
}

fn of_member(member: &Member) -> Json {
    json!({
        "node": member.node_id,
        "client": member.client_endpoint,
        "peer": member.peer_endpoint,
        "reachable": member.reachable,
    })
}

fn of_group(group: &Group) -> Json {
    let replicas: Vec<String> = group
        .replicas
        .iter()
        .map(|replica| match replica.reachable {
            true => {
                let (node, role) = (replica.node_id, replica.role.name());
                format!("{node}:{role}@{}", replica.applied_index)
            }
            false => format!("{}:unreachable", replica.node_id),
        })
        .collect();
    let most = |of: fn(&vatic_client::Replica) -> u64| group.replicas.iter().map(of).max();
    json!({
        "group": group.group,
        "leader": group.leader,
        "term": group.term,
        "replicas": replicas.join(" "),
        "undecided": most(|replica| replica.undecided),
    })
}
