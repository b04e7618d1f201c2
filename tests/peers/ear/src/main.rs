//! Reads the claims of the golden token in the folder given, as the crate `ear` reads attestation results; fails where
//! it learns something else than ours say, or accepts what the draft refuses.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ear::{EAR_PROFILE, Ear, TrustTier};

fn main() -> Result<(), String> {
    let folder = std::env::args().nth(1).ok_or("give the folder of the golden token")?;
    let payload = |name: &str| -> Result<String, String> {
        let token =
            fs::read_to_string(Path::new(&folder).join(name)).map_err(|error| format!("{name}: {error}"))?;
        let body = token.split('.').nth(1).ok_or("not a token")?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    };
    let read = |claims: &str| serde_json::from_str::<Ear>(claims).map_err(|error| error.to_string());

    let claims = payload("token_endless.jwt")?;
    let ear = read(&claims).map_err(|error| format!("golden claims refused: {error}"))?;
    let cpu = ear.submods.get("cpu0").ok_or("no submodule cpu0")?;
    let vector = &cpu.trust_vector;
    let better = claims.replacen("\"ear_status\":\"warning\"", "\"ear_status\":\"affirming\"", 1);
    let answers = [
        (ear.profile == EAR_PROFILE, "profile"),
        (ear.nonce.is_some(), "nonce"),
        (ear.status == Some(TrustTier::Warning), "status"),
        (cpu.status == TrustTier::Warning, "status of cpu0"),
        (vector.hardware.value() == 32, "hardware"),
        (vector.executables.value() == 3, "executables"),
        (vector.instance_identity.value() == 32, "instance-identity"),
        (vector.runtime_opaque.value() == 0, "runtime-opaque"),
        (cpu.policy_ids.len() == 1, "policy ids"),
        (cpu.attester_claims.contains_key("tiltyard_measurement"), "claims of the attester"),
        (cpu.verifier_claims.contains_key("tiltyard_warnings"), "claims of the verifier"),
        (read(&payload("token.jwt")?).is_err(), "refuses a lease that has ended"),
        (better != claims && read(&better).is_err(), "refuses a status better than its parts"),
    ];
    for (holds, what) in answers {
        println!("{} ear 0.6.0        {what}", if holds { "ok   " } else { "WRONG" });
    }
    match answers.iter().filter(|(holds, _)| !holds).count() {
        0 => Ok(()),
        wrong => Err(format!("{wrong} answers are not the expected ones")),
    }
}
