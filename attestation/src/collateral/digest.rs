//! The collateral by digest: what a token or a receipt names it by.

use serde::Serialize;

use super::{Collateral, TdxCollateral};
use crate::{Base64Bytes, Hex};

impl Collateral {
    /// SHA-256 of the canonical form (RFC 8785) that has each item's own SHA-256 in its place: the digests are those of
    /// a bundle's manifest, so that one set has one digest however it came.
    pub fn digest(&self) -> Hex<32> {
        let Self { snp_certificates, snp_crls, tdx, rims, ocsp, nvidia_crls, source: _ } = self;
        let view = View {
            v: 1,
            snp_certificates: all(snp_certificates),
            snp_crls: all(snp_crls),
            tdx: tdx.iter().map(TdxView::of).collect(),
            rims: all(rims),
            ocsp: all(ocsp),
            nvidia_crls: all(nvidia_crls),
        };
        // Strings and lists of them, which always serialise.
        Hex::sha256(&serde_jcs::to_vec(&view).unwrap_or_default())
    }
}

#[derive(Serialize)]
struct View {
    v: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    snp_certificates: Vec<Hex<32>>,
    snp_crls: Vec<Hex<32>>,
    tdx: Vec<TdxView>,
    rims: Vec<Hex<32>>,
    ocsp: Vec<Hex<32>>,
    nvidia_crls: Vec<Hex<32>>,
}

#[derive(Serialize)]
struct TdxView {
    tcb_info: Hex<32>,
    tcb_info_signature: Hex<32>,
    qe_identity: Hex<32>,
    qe_identity_signature: Hex<32>,
    tcb_info_issuer_chain: Hex<32>,
    qe_identity_issuer_chain: Hex<32>,
    pck_crl_issuer_chain: Hex<32>,
    pck_crl: Hex<32>,
    root_ca_crl: Hex<32>,
}

impl TdxView {
    fn of(set: &TdxCollateral) -> Self {
        let TdxCollateral {
            tcb_info,
            tcb_info_signature,
            qe_identity,
            qe_identity_signature,
            tcb_info_issuer_chain,
            qe_identity_issuer_chain,
            pck_crl_issuer_chain,
            pck_crl,
            root_ca_crl,
        } = set;
        Self {
            tcb_info: one(tcb_info),
            tcb_info_signature: one(tcb_info_signature),
            qe_identity: one(qe_identity),
            qe_identity_signature: one(qe_identity_signature),
            tcb_info_issuer_chain: one(tcb_info_issuer_chain),
            qe_identity_issuer_chain: one(qe_identity_issuer_chain),
            pck_crl_issuer_chain: one(pck_crl_issuer_chain),
            pck_crl: one(pck_crl),
            root_ca_crl: one(root_ca_crl),
        }
    }
}

fn all(items: &[Base64Bytes]) -> Vec<Hex<32>> {
    items.iter().map(one).collect()
}

fn one(item: &Base64Bytes) -> Hex<32> {
    Hex::sha256(&item.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(byte: u8) -> Base64Bytes {
        vec![byte].into()
    }

    #[test]
    fn every_item_and_its_place_count() {
        let set = TdxCollateral {
            tcb_info: item(1),
            tcb_info_signature: item(2),
            qe_identity: item(3),
            qe_identity_signature: item(4),
            tcb_info_issuer_chain: item(5),
            qe_identity_issuer_chain: item(6),
            pck_crl_issuer_chain: item(7),
            pck_crl: item(8),
            root_ca_crl: item(9),
        };
        type Edit = fn(&mut Collateral);
        let edits: [Edit; 11] = [
            |set| set.snp_certificates.push(item(1)),
            |set| set.snp_crls.push(item(1)),
            |set| set.rims.push(item(1)),
            |set| set.ocsp.push(item(1)),
            |set| set.nvidia_crls.push(item(1)),
            |set| set.tdx.clear(),
            |set| set.tdx[0].tcb_info = item(2),
            |set| set.tdx[0].root_ca_crl = item(8),
            |set| {
                let TdxCollateral { pck_crl, root_ca_crl, .. } = &mut set.tdx[0];
                std::mem::swap(pck_crl, root_ca_crl);
            },
            |set| set.ocsp.extend([item(1), item(2)]),
            |set| set.ocsp.extend([item(2), item(1)]),
        ];
        let full = Collateral { tdx: vec![set], ..Collateral::none() };
        let mut digests = std::collections::BTreeSet::from([full.digest(), Collateral::none().digest()]);
        for edit in edits {
            let mut collateral = full.clone();
            edit(&mut collateral);
            digests.insert(collateral.digest());
        }
        // Clearing gives the empty set again.
        assert_eq!(digests.len(), edits.len() + 1);
        let empty = r#"{"nvidia_crls":[],"ocsp":[],"rims":[],"snp_crls":[],"tdx":[],"v":1}"#;
        assert_eq!(Collateral::none().digest(), Hex::sha256(empty.as_bytes()));
    }
}
