//! What holds, how it is shown, and how long it takes.

use std::time::{Duration, Instant};

use tiltyard_attestation::Hex;
use tiltyard_attestation::result::Anchors;
use tiltyard_audit::{Detail, Kept, Overall, Pins, html, text, verify};

use crate::bundle::{failures, not_shown};
use crate::play::{NOW, Script, honest, operator, owner, platform, play, public};

#[test]
fn an_honest_bundle_holds_and_says_not_a_vendor_root() {
    let audit = honest().audit();
    assert_eq!(failures(&audit), [""; 0], "{}", text(&audit, Detail::Every));
    assert_eq!(audit.verdict, Overall::Pass);
    assert_eq!(audit.anchors, Some(Anchors::NotVendor(platform().anchors().digest())));
    // Two of three trainings of the first pair, two of the boss round, two evaluations and the referee.
    assert_eq!(audit.guests.len(), 7);
    let champion: Vec<_> = audit.entrants.iter().filter(|entrant| entrant.champion).collect();
    assert_eq!(champion.len(), 1);
    assert_eq!(
        Some(champion[0].submission.clone()),
        audit.record.as_ref().unwrap().champion.map(|id| id.to_string())
    );
    let task = &champion[0].tasks[0];
    assert_eq!((task.outcome(), task.before.as_deref()), ("done", Some("3.2500")));
    assert!(task.change.as_deref().unwrap().starts_with('-'), "{task:?}");
}

#[test]
fn what_a_bundle_cannot_show_is_said() {
    let audit = honest().audit();
    let open = not_shown(&audit);
    let expected =
        ["CHT-2", "CHT-3", "EVD-4", "HW-1", "ITM-1", "LGR-1", "LGR-2", "NON-1", "RES-2", "ROL-3", "WIT-1"];
    assert_eq!(open, expected);
    let pins = Pins {
        owner_key: Some(public(&owner())),
        operator_key: Some(public(&operator())),
        anchors: Some(platform().anchors().to_bytes()),
        at: Some(NOW + 3_600),
        collateral: Vec::new(),
    };
    let pinned = honest().audit_with(&pins);
    assert_eq!(failures(&pinned), [""; 0]);
    assert_eq!(not_shown(&pinned), expected[2..]);
    let kept = |audit: &tiltyard_audit::Audit, start: &str| {
        audit.promises.iter().find(|promise| promise.promised.starts_with(start)).unwrap().kept
    };
    assert_eq!(kept(&audit, "Owner and operator"), Kept::ShownInPart);
    assert_eq!(kept(&pinned, "Owner and operator"), Kept::Shown);
    assert_eq!(kept(&pinned, "The standings follow"), Kept::Shown);
    assert_eq!(kept(&pinned, "Guests run on genuine"), Kept::NotShown);
}

#[test]
fn evidence_that_was_valid_stays_so() {
    // Certificates of the simulator have run out by then.
    let pins = Pins { at: Some(4_000_000_000), ..Pins::default() };
    let audit = honest().audit_with(&pins);
    assert_eq!((failures(&audit), audit.verdict), (vec![], Overall::Pass));
    assert!(not_shown(&audit).contains(&"AT-2"));
    let early = honest().audit_with(&Pins { at: Some(NOW), ..Pins::default() });
    assert_eq!(failures(&early), ["AT-1"]);
}

#[test]
fn collateral_shows_what_the_bundle_alone_does_not() {
    let open = |audit: &tiltyard_audit::Audit| {
        let rows = audit.claims.iter().filter(|claim| claim.id == "EVD-4");
        rows.map(|claim| claim.subject.clone()).collect::<Vec<_>>()
    };
    assert!(open(&honest().audit()).contains(&"SNP-08".to_owned()), "nothing is known of revocation");
    let with = |collateral| honest().audit_with(&Pins { collateral: vec![collateral], ..Pins::default() });
    let good = with(platform().collateral(NOW - 3_600).unwrap());
    assert_eq!(failures(&good), [""; 0]);
    assert!(!open(&good).contains(&"SNP-08".to_owned()), "{:?}", open(&good));
    // A list that names the issuer of the chip's key: every guest of the bundle stood on a revoked platform.
    let revoking = platform()
        .reissued(|fields| fields.crl.revoked.push(fields.ask.serial))
        .unwrap()
        .collateral(NOW - 3_600)
        .unwrap();
    let revoked = with(revoking);
    assert_eq!(revoked.verdict, Overall::Fail);
    let refused = revoked.count(|claim| claim.id == "EVD-1" && claim.outcome.is_fail());
    assert_eq!(refused, 7, "every guest of the bundle");
}

#[test]
fn the_same_bundle_gives_the_same_audit() {
    let again = play(Script::default());
    assert_eq!(again.tar(), honest().tar());
    assert_eq!(again.audit(), honest().audit());
    let json = serde_json::to_value(honest().audit()).unwrap();
    assert_eq!(json["verdict"], "pass");
    assert!(json["anchors"]["not_vendor"].is_string());
    let claims = json["claims"].as_array().unwrap();
    assert!(claims.iter().all(|claim| claim["id"].is_string() && claim["verdict"].is_string()));
}

#[test]
fn text_groups_what_holds() {
    let audit = honest().audit();
    let (short, long) = (text(&audit, Detail::Grouped), text(&audit, Detail::Every));
    assert!(short.lines().count() < 80 && long.lines().count() > 100, "{short}");
    assert!(!short.contains('\u{1b}'));
    assert!(short.contains("NOT A VENDOR ROOT") && short.contains("UNWITNESSED"));
    assert!(short.lines().last().unwrap().starts_with("PASS: "), "{short}");
    assert!(short.contains("PASS       EVD-1  7 of 7"), "{short}");
}

#[test]
fn the_page_is_whole_and_holds_no_markup_of_others() {
    let members = play(Script { label: |seq| format!("<script>x{seq}</script>&\"'"), ..Script::default() });
    let audit = members.audit();
    assert_eq!(failures(&audit), [""; 0]);
    let page = html(&audit).unwrap();
    for absent in ["<script", "http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(absent), "{absent}");
    }
    for present in [
        "&#60;script&#62;x1&#60;/script&#62;&#38;&#34;&#39;",
        "NOT A VENDOR ROOT",
        "UNWITNESSED",
        "What was promised, and what was shown",
        "What was not shown",
        "R13",
        "@page",
        "3.2500",
        "tiltyard-audit verify",
    ] {
        assert!(page.contains(present), "{present}");
    }
    // Every claim stands on the page.
    for claim in &audit.claims {
        assert!(page.matches(&format!(">{}</span>", claim.id)).count() > 0, "{}", claim.id);
    }
}

#[test]
fn a_tournament_of_the_demos_size_takes_less_than_two_seconds() {
    let members = play(Script { challengers: 6, boss_tasks: 6, ..Script::default() });
    let tar = members.tar();
    let start = Instant::now();
    let audit = verify(&tar, &Pins::default());
    let took = start.elapsed();
    assert_eq!(failures(&audit), [""; 0]);
    println!("{} guests, {} claims: {took:?}", audit.guests.len(), audit.claims.len());
    assert!(audit.guests.len() > 30);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_wrong_pin_is_named() {
    let pins = Pins { owner_key: Some(public(&operator())), ..Pins::default() };
    assert_eq!(failures(&honest().audit_with(&pins)), ["CHT-2"]);
    let pins = Pins { operator_key: Some(Hex([7; 32])), ..Pins::default() };
    assert_eq!(failures(&honest().audit_with(&pins)), ["CHT-3"]);
}
