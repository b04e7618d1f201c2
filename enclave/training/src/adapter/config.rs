//! `adapter_config.json` in PEFT's form: the fields that we write, and no others.

use super::{MODULES, Structure};
use crate::ArtefactError;
use crate::model::DecoderConfig;
use crate::recipe::Kind;
use serde::{Deserialize, Serialize};

/// Largest configuration, bytes.
const MAX_CONFIG: usize = 64 << 10;

/// PEFT 0.21's names. A field that isn't here might change the mathematics, so it is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    bias: String,
    fan_in_fan_out: bool,
    inference_mode: bool,
    layers_pattern: String,
    layers_to_transform: Vec<usize>,
    lora_alpha: u32,
    lora_dropout: u32,
    peft_type: String,
    r: usize,
    target_modules: Vec<String>,
    task_type: String,
    use_dora: bool,
    use_rslora: bool,
}

/// Canonical JSON of a structure.
pub(crate) fn write(structure: &Structure) -> Vec<u8> {
    let modules = MODULES.iter().zip(structure.targets).filter(|(_, chosen)| *chosen);
    let raw = RawConfig {
        bias: "none".to_owned(),
        fan_in_fan_out: false,
        inference_mode: true,
        layers_pattern: "layers".to_owned(),
        layers_to_transform: (structure.first..=structure.last).collect(),
        lora_alpha: structure.alpha,
        lora_dropout: 0,
        peft_type: "LORA".to_owned(),
        r: structure.rank,
        target_modules: modules.map(|(name, _)| (*name).to_owned()).collect(),
        task_type: "CAUSAL_LM".to_owned(),
        use_dora: false,
        use_rslora: structure.kind == Kind::RsLora,
    };
    // Texts, integers and flags always serialise; an empty document would be refused by every reader.
    serde_jcs::to_vec(&raw).unwrap_or_default()
}

pub(super) fn read(bytes: &[u8], config: &DecoderConfig) -> Result<Structure, ArtefactError> {
    if bytes.len() > MAX_CONFIG {
        return Err(ArtefactError::TooLarge { limit: MAX_CONFIG as u64, got: bytes.len() as u64 });
    }
    let raw: RawConfig = serde_json::from_slice(bytes).map_err(|e| {
        let place = format!("line {} column {}", e.line(), e.column());
        refuse("the document", "exactly the fields of a LoRA adapter", &place)
    })?;
    let fixed = [
        ("bias", "none", raw.bias.as_str()),
        ("layers_pattern", "layers", &raw.layers_pattern),
        ("peft_type", "LORA", &raw.peft_type),
        ("task_type", "CAUSAL_LM", &raw.task_type),
        ("use_dora", "false", if raw.use_dora { "true" } else { "false" }),
        ("fan_in_fan_out", "false", if raw.fan_in_fan_out { "true" } else { "false" }),
        ("lora_dropout", "0", if raw.lora_dropout == 0 { "0" } else { "more" }),
    ];
    for (field, expected, got) in fixed {
        if expected != got {
            return Err(refuse(field, expected, got));
        }
    }
    if !(1..=512).contains(&raw.r) || !(1..=4096).contains(&raw.lora_alpha) {
        return Err(refuse(
            "r",
            "1 to 512, and lora_alpha 1 to 4096",
            &format!("{}, {}", raw.r, raw.lora_alpha),
        ));
    }
    let mut targets = [false; 7];
    for name in &raw.target_modules {
        match MODULES.iter().position(|m| m == name).filter(|i| !targets[*i]) {
            Some(index) => targets[index] = true,
            None => return Err(refuse("target_modules", "known maps, each once", name)),
        }
    }
    let layers = &raw.layers_to_transform;
    let (Some(first), Some(last)) = (layers.first().copied(), layers.last().copied()) else {
        return Err(refuse("layers_to_transform", "at least one block", "none"));
    };
    if last >= config.layers || !layers.iter().copied().eq(first..=last) || !targets.contains(&true) {
        let expected = format!("ascending blocks without a gap, below {}, and a map", config.layers);
        return Err(refuse("layers_to_transform", &expected, "others"));
    }
    let kind = if raw.use_rslora { Kind::RsLora } else { Kind::Lora };
    Ok(Structure { kind, rank: raw.r, alpha: raw.lora_alpha, targets, first, last })
}

fn refuse(field: &str, expected: &str, got: &str) -> ArtefactError {
    ArtefactError::Config {
        field: field.to_owned(),
        expected: expected.to_owned(),
        got: got.chars().take(64).collect(),
    }
}
