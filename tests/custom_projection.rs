//! The example of a host's own projection runs, and its picture is there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

#[path = "../examples/custom_projection.rs"]
mod custom_projection;

#[test]
fn a_method_of_a_hosts_goes_through_the_atlas_into_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("heads.png");
    let heads = custom_projection::run(&picture).unwrap();
    assert_eq!(heads, 16);
    assert!(std::fs::metadata(&picture).unwrap().len() > 10_000);
}
