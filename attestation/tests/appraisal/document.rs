//! Policy documents: what they may say, and that every member of one changes the policy.

use serde_json::{Value, json};
use tiltyard_attestation::policy::{
    AppraisalPolicy, Level, POLICY_MAX_BYTES, POLICY_ROWS_MAX, PlatformId, PolicyDocument, PolicyError,
};

fn read(document: &Value) -> Result<AppraisalPolicy, PolicyError> {
    PolicyDocument::from_bytes(document.to_string().as_bytes())?.policy()
}

/// A document of level `lab` with this member more.
fn with(member: &str, value: Value) -> Value {
    let mut document = json!({"v": 1, "preset": "lab"});
    document[member] = value;
    document
}

fn platform(kind: &str, id: &str) -> Value {
    json!([{"kind": kind, "id": id, "custody": "rack 1", "enrolled_at": 0, "revoked_at": null}])
}

fn snp(svn: u32) -> Value {
    let tcb = json!({"fmc": 0, "bootloader": 3, "tee": 0, "snp": 8, "microcode": 115});
    json!([{"product": "genoa", "tcb": tcb, "guest_svn": svn, "vmpl": 0}])
}

fn tdx() -> Value {
    json!({"tcb_evaluation": 17, "modules": [], "platform_flags": [], "refused_advisories": [], "xfam": 3})
}

#[test]
fn every_member_changes_the_policy() {
    let plain = read(&json!({"v": 1, "preset": "lab"})).unwrap();
    assert_eq!(plain, AppraisalPolicy::preset(Level::Lab));
    for (member, value) in [
        ("preset", json!("strict")),
        ("backends", json!(["snp"])),
        ("snp", snp(1)),
        ("tdx", tdx()),
        ("gpu", json!({"count": 1})),
        ("mitigations", json!(1)),
        ("platforms", platform("ppid", &"0a".repeat(16))),
    ] {
        assert_ne!(read(&with(member, value)).unwrap(), plain, "{member}");
    }
    // Reference values are the verifier's, beside the policy.
    let reference = json!({"images": [], "foreign_anchors": null});
    let document = with("reference", reference);
    assert_eq!(read(&document).unwrap(), plain);
    assert!(PolicyDocument::from_bytes(document.to_string().as_bytes()).unwrap().reference.is_some());
}

#[test]
fn a_document_has_a_size_and_its_lists_a_length() {
    assert_eq!(POLICY_MAX_BYTES, 4_194_304);
    let sized = |len: usize| {
        let mut text = json!({"v": 1, "preset": "lab"}).to_string().into_bytes();
        text.resize(len, b' ');
        PolicyDocument::from_bytes(&text).map(|_| ())
    };
    assert_eq!(sized(POLICY_MAX_BYTES), Ok(()));
    for got in [POLICY_MAX_BYTES + 1, POLICY_MAX_BYTES + 2] {
        assert_eq!(sized(got), Err(PolicyError::TooLarge { limit: POLICY_MAX_BYTES, got }));
    }
    let image =
        json!({"name": "", "backend": "tdx", "image": "01".repeat(32), "measurement": "02".repeat(48)});
    let of = |count: usize| {
        let images: Vec<&Value> = (0..count).map(|_| &image).collect();
        read(&with("reference", json!({"images": images, "foreign_anchors": null}))).map(|_| ())
    };
    assert_eq!(of(POLICY_ROWS_MAX), Ok(()));
    for got in [POLICY_ROWS_MAX + 1, POLICY_ROWS_MAX + 2] {
        assert_eq!(of(got), Err(PolicyError::TooLarge { limit: POLICY_ROWS_MAX, got }));
    }
}

#[test]
fn what_no_document_may_be() {
    for text in [
        r#"[1,"lab",[],[],null,null,null,[],null]"#,
        r#"{"v":1,"preset":{"lab":null}}"#,
        r#"{"v":1,"preset":"lab","gpu":[0,null]}"#,
        r#"{"v":1,"preset":"lab","preset":"strict"}"#,
        r#"{"v":1,"preset":"lab","debug":true}"#,
        r#"{"v":1,"preset":"lab","gpu":{"count":0,"debug":true}}"#,
        r#"{"v":1.0,"preset":"lab"}"#,
        r#"{"v":256,"preset":"lab"}"#,
        r#"{"preset":"lab"}"#,
    ] {
        let read = PolicyDocument::from_bytes(text.as_bytes());
        assert!(matches!(read, Err(PolicyError::Syntax(_))), "{text}: {read:?}");
    }
    assert_eq!(read(&json!({"v": 2, "preset": "lab"})), Err(PolicyError::Version { got: 2 }));
    for backend in ["process", "tcg", "kvm"] {
        let narrowed = json!({"v": 1, "preset": "standard", "backends": [backend]});
        assert!(matches!(read(&narrowed), Err(PolicyError::BackendBelowCharter { .. })), "{backend}");
    }
    let twice = |member, value: Value| read(&with(member, value)).unwrap_err().to_string();
    let rows = |one: Value| json!([one[0], one[0]]);
    assert_eq!(twice("snp", rows(snp(1))), "policy: floors of snp: Genoa twice");
    let module = json!({"major": 1, "svn": 5, "mrseam": []});
    let mut modules = tdx();
    modules["modules"] = json!([module, module]);
    assert_eq!(twice("tdx", modules), "policy: floors of tdx.modules: major 1 twice");
}

#[test]
fn platform_ids_have_the_length_of_their_kind() {
    let of = |kind: &str, len: usize| read(&with("platforms", platform(kind, &"0f".repeat(len)))).map(|_| ());
    for (kind, lens) in [
        ("chip_id", &[64][..]),
        ("ppid", &[16]),
        ("gpu_ueid", &[1, 15, 16, 17, 19, 20]),
        ("switch_ueid", &[1, 15, 16, 17, 19, 20]),
    ] {
        for len in [1, 15, 16, 17, 19, 20, 21, 63, 64] {
            let wanted = lens.contains(&len);
            assert_eq!(of(kind, len).is_ok(), wanted, "{kind} of {len}");
            if !wanted {
                assert!(matches!(of(kind, len), Err(PolicyError::PlatformId { got, .. }) if got == len));
            }
        }
    }
}

#[test]
fn platform_ids_are_lower_case_hex() {
    let read = |text: &str| serde_json::from_value::<PlatformId>(json!(text)).ok();
    for bytes in [&[0x00][..], &[0x09, 0x90, 0xaf, 0xfa], &[0xff; 64], &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]]
    {
        let id = PlatformId::new(bytes).unwrap();
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((id.to_string(), format!("{id:?}")), (text.clone(), text.clone()));
        assert_eq!(read(&text), Some(id), "{text}");
    }
    for text in ["", "0", "000", "AF", "0g", "g0", "0x01", " 01", "01 ", &"00".repeat(65)] {
        assert_eq!(read(text), None, "{text}");
    }
}
