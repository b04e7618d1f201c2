//! The record's held-out losses, computed again by the owner from its own rows: the same to the last digit.

use serde_json::json;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::bundle::Bundle;
use tiltyard_provisioning::dataset::losses_root;
use tiltyard_provisioning::keyid::{KeyId, Split};
use tiltyard_provisioning::order::{ItemLoss, Order, ScoreClaim, Status, Work};
use tiltyard_provisioning::output::{AdapterFiles, OutputKind, open_output};
use tiltyard_provisioning::record::members;
use tiltyard_training::{Adapter, Artefact, BaseModel, Item, ItemValue, evaluate};

use crate::owner::{Owner, charter, leaves, signed};
use crate::scenario;
use crate::whole::{Whole, whole};

/// Tokens of one item, at most, as the fingerprint has it.
const SEQUENCE_LEN: usize = 1024;

#[test]
fn the_owner_computes_the_same_held_out_losses_as_the_record_holds() {
    let _turn = scenario::turn();
    let Some(whole) = whole() else { return };
    let bundle = Bundle::read(std::fs::read(whole.layout.path("bundle.tar")).unwrap()).unwrap();
    let base = BaseModel::from_gguf(&std::fs::read(whole.layout.model()).unwrap()).unwrap();
    let evaluated: Vec<String> = leaves(&bundle)
        .iter()
        .filter(|leaf| leaf["type"] == "outcome" && leaf["body"]["role"] == "evaluate")
        .map(|leaf| leaf["body"]["order"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(evaluated.len(), 1);
    for digest in evaluated {
        recompute(whole, &bundle, &base, digest.parse().unwrap());
    }
}

fn recompute(whole: &Whole, bundle: &Bundle, base: &BaseModel, digest: Hex<32>) {
    let order = signed::<Order>(bundle, &members::order(&digest)).unwrap();
    let claim = signed::<ScoreClaim>(bundle, &members::result(&digest)).unwrap();
    let Work::Evaluate { artefacts } = &order.work else { panic!("{:?}", order.work) };
    let owner = Owner::unlock(&whole.parties.owner);
    let charter = charter(&whole.agreed.envelope);
    let opened = owner.open(&whole.layout, &charter, &order.dataset_id, Split::Test);
    let seed = opened.split_seed.unwrap();
    let mut rows: Vec<_> = opened.rows.iter().map(|row| (seed.item_id(row), row)).collect();
    rows.sort_by_key(|(id, _)| *id);
    rows.truncate(6);
    let items: Vec<Item> = rows.iter().map(|(_, row)| Item::from_row(row).unwrap()).collect();
    let losses = |model: Hex<32>, adapter: Option<&Adapter>| {
        // Two threads here, one in the guest, and no work shared between models: a sum's bits must not depend on it.
        let values = evaluate(base, adapter, &items, SEQUENCE_LEN, 2).unwrap();
        let one = |(value, (item, _)): (&ItemValue, &(Hex<32>, _))| ItemLoss {
            item: *item,
            loss_micro: value.loss_micro,
            labels: value.labels,
            salt: seed.loss_salt(&model, item),
        };
        values.iter().zip(&rows).map(one).collect::<Vec<_>>()
    };

    let of_base = losses(Hex([0; 32]), None);
    assert_eq!(claim.items, 6);
    assert_eq!((claim.base.score, claim.base.root), (score(&of_base), losses_root(&of_base)));
    println!("base            {:?} {}", claim.base.score, claim.base.root);
    assert_eq!(artefacts.len(), 2);
    let mut changed = of_base.clone();
    changed[0].loss_micro = changed[0].loss_micro.map(|loss| loss + 1);
    assert_ne!(losses_root(&changed), claim.base.root, "one millionth of a nat shows in the root");

    for (artefact, scored) in artefacts.iter().zip(&claim.scores) {
        assert_eq!((scored.submission, scored.status), (artefact.submission, Status::Done));
        let sealed = whole.layout.host().join("objects").join(artefact.object.sha256.to_string());
        let plain = open_output(
            OutputKind::Artefact,
            &charter.tenant,
            &artefact.train_order,
            &owner.dek(&KeyId::Artefact(artefact.train_order)),
            &artefact.object,
            &std::fs::read(sealed).unwrap(),
        )
        .unwrap();
        assert_eq!(scored.artefact_sha256, Some(Hex::sha256(&plain)));
        let adapter = {
            let AdapterFiles { config, weights } = AdapterFiles::from_bytes(&plain).unwrap();
            Adapter::check(&Artefact { config, weights }, base, 64 << 20).unwrap()
        };
        let losses = losses(artefact.submission, Some(&adapter));
        assert_eq!((scored.score, scored.root), (score(&losses), Some(losses_root(&losses))));
        assert_ne!(scored.root, Some(claim.base.root));
        println!("{} {:?} {}", &artefact.submission.to_string()[..15], scored.score, losses_root(&losses));
    }

    let test = charter
        .datasets
        .iter()
        .find(|named| named.dataset_id == order.dataset_id && named.split == Split::Test);
    let ids: Vec<String> = rows.iter().map(|(id, _)| id.to_string()).collect();
    let fingerprint = json!({
        "v": 1, "metric": "instruct_ce", "metric_version": 1, "base_sha256": charter.base.sha256,
        "tokenizer_sha256": Hex(base.tokenizer_sha256()), "test_objects": test.unwrap().manifest_sha256,
        "item_ids": ids, "sequence_len": SEQUENCE_LEN, "precision": "f32", "kl": null,
    });
    assert_eq!(claim.fingerprint, Hex::sha256(&serde_jcs::to_vec(&fingerprint).unwrap()));
}

/// Mean loss per label in 1e-4 nat, half to even.
fn score(losses: &[ItemLoss]) -> Option<i32> {
    let sum: i128 = losses.iter().map(|loss| loss.loss_micro.map(i128::from)).sum::<Option<i128>>()?;
    let unit = 100 * losses.iter().map(|loss| i128::from(loss.labels)).sum::<i128>();
    let (low, rest) = (sum / unit, sum % unit);
    let up = 2 * rest > unit || (2 * rest == unit && low % 2 == 1);
    Some(i32::try_from(low + i128::from(up)).unwrap())
}
