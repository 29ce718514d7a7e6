//! The example of scores of one's own: they stand wherever the built-in ones do.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../examples/custom_score.rs"]
mod custom_score;

use attn_sdk::analyze::heads::{Role, ScoreId};

#[test]
fn scores_of_ones_own_stand_in_roles_page_table_and_json() {
    let summary = custom_score::summary().unwrap();
    let (articles, distance) = (ScoreId::from("articles"), ScoreId::from("distance"));
    for head in &summary.heads {
        let score = head.scores.get(&articles).unwrap();
        assert!(
            (0.0..=1.0).contains(&score.value) && (0.02..0.5).contains(&score.chance),
            "{score:?}"
        );
        let distance = head.scores.get(&distance).unwrap();
        assert!(distance.value > 0.0 && distance.chance > 1.0, "{distance:?}");
    }
    // A head that looks at the token before is local, by the score of the example.
    let roles = summary.roles();
    let (_, local) = roles.iter().find(|(role, _)| *role == Role::from("local")).unwrap();
    let label = local[0];
    assert_eq!(label.score, distance);
    assert!(label.strength >= label.at_least && label.reason.contains("tokens (uniform attention"));
    let page = summary.markdown();
    let row = page.lines().find(|line| line.starts_with("| local |")).unwrap();
    assert!(
        row.contains(&format!("{:.2} ({:.2})", label.value, label.chance)),
        "{row}"
    );
    let columns = summary.table();
    let names: Vec<&str> = columns.columns().iter().map(|(name, _)| name.as_ref()).collect();
    for name in ["articles", "articles, chance", "distance"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let json = serde_json::to_value(&summary).unwrap();
    assert!(json["heads"][0]["scores"]["scores"]["articles"]["value"].is_number());
    custom_score::main().unwrap();
}
