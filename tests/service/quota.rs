//! A node whose groups may keep little: what is refused by name, and how room is made.

use vatic_tests::cluster::{Cluster, free_addresses};
use vatic_tests::command::vatic;
use vatic_tests::node::Node;
use vatic_tests::wait::{SOON, until};

const RECORDS_BYTES_MAX: usize = 4_096;

pub(crate) async fn full_group_names_its_limit_and_takes_what_shrinks_it(_: &Cluster) {
    let dir = tempfile::tempdir().expect("there is a place for temporary files");
    let addresses = free_addresses(2);
    let config = format!(
        "cluster = \"quota\"\nnode = 1\ndata_dir = {:?}\nclient_listen = \"{}\"\n\
         peer_listen = \"{}\"\ngroups = 1\nreplicas = 1\n\n\
         [group_limits]\nrecords_bytes_max = {RECORDS_BYTES_MAX}\n",
        dir.path().join("data"),
        addresses[0],
        addresses[1],
    );
    let mut node = Node::new(1, format!("http://{}", addresses[0]), dir.path(), &config);
    node.start();
    let at = [node.endpoint.clone()];
    // It takes transactions before its group was told its limits.
    until("the node is ready", SOON, || async {
        let seen = vatic(&at, &["status", "--output", "json"]);
        (seen.code == 0 && seen.json()["ready"] == true).then_some(())
    })
    .await;
    assert_eq!(vatic(&at, &["put", "quota/p/0", "n=1"]).code, 0);

    let large = format!("text=\"{}\"", "x".repeat(RECORDS_BYTES_MAX * 3 / 4));
    assert_eq!(vatic(&at, &["put", "quota/p/1", &large]).code, 0);
    let refused = vatic(&at, &["put", "quota/p/2", &large, "--output", "json"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let limit = format!("records_bytes_max is {RECORDS_BYTES_MAX}");
    assert!(refused.stderr.contains("quota") && refused.stderr.contains(&limit), "{refused:?}");
    let absent = vatic(&at, &["get", "quota/p/2", "--output", "json"]);
    assert_eq!(absent.stdout.trim(), "null", "{absent:?}");

    // As large as before, then smaller: neither grows. The command line names its requests.
    assert_eq!(vatic(&at, &["put", "quota/p/1", &large]).code, 0);
    assert_eq!(vatic(&at, &["del", "quota/p/1"]).code, 0);
    assert_eq!(vatic(&at, &["put", "quota/p/2", &large]).code, 0);
}
