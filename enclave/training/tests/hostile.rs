//! Hostile artefacts, recipes and base models: each is refused, and says why.

#![allow(clippy::unwrap_used)]

mod tiny;

use tiltyard_training::{Adapter, Artefact, ArtefactError, BaseModel, ModelError, Recipe};
use tiny::{Gguf, RECIPE, base, integer, items, run, text};

fn artefact() -> Artefact {
    run(RECIPE, items(8), 1).0.unwrap().artefact
}

fn check(artefact: &Artefact) -> Result<(), ArtefactError> {
    Adapter::check(artefact, &base(), 1 << 20).map(|_| ())
}

/// The file with its header's text changed, and its data.
fn with_header(artefact: &Artefact, change: impl Fn(String) -> String) -> Artefact {
    let (len, rest) = artefact.weights.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
    let mut header = change(String::from_utf8(header.to_vec()).unwrap().trim_end().to_owned()).into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let weights = [&(header.len() as u64).to_le_bytes()[..], &header, data].concat();
    Artefact { config: artefact.config.clone(), weights }
}

fn with_config(artefact: &Artefact, from: &str, to: &str) -> Artefact {
    let config = String::from_utf8(artefact.config.clone()).unwrap();
    assert!(config.contains(from), "{config}");
    Artefact { config: config.replace(from, to).into_bytes(), weights: artefact.weights.clone() }
}

fn set_last(artefact: &Artefact, value: f32) -> Artefact {
    let mut weights = artefact.weights.clone();
    let at = weights.len() - 4;
    weights[at..].copy_from_slice(&value.to_le_bytes());
    Artefact { config: artefact.config.clone(), weights }
}

#[test]
fn artefacts_that_are_not_what_they_should_be() {
    let good = artefact();
    assert_eq!(check(&good), Ok(()));
    let malformed = |a: &Artefact| matches!(check(a), Err(ArtefactError::Malformed { .. }));
    let tensor = |a: &Artefact| matches!(check(a), Err(ArtefactError::Tensor { .. }));
    let config = |a: &Artefact| matches!(check(a), Err(ArtefactError::Config { .. }));

    for value in [f32::NAN, f32::INFINITY] {
        assert!(matches!(check(&set_last(&good, value)), Err(ArtefactError::NotFinite { .. })));
    }
    let trailing = Artefact { weights: [&good.weights[..], b"x"].concat(), config: good.config.clone() };
    assert!(malformed(&trailing));
    let short =
        Artefact { weights: good.weights[..good.weights.len() - 4].to_vec(), config: good.config.clone() };
    assert!(malformed(&short));
    let pickle =
        Artefact { weights: b"\x80\x02ctorch._utils\n_rebuild".to_vec(), config: good.config.clone() };
    assert!(malformed(&pickle));
    assert!(malformed(&Artefact { weights: vec![], config: good.config.clone() }));

    let extra = r#"{"evil":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"#;
    assert!(tensor(&with_header(&good, |h| h.replacen('{', extra, 1))));
    assert!(tensor(&with_header(&good, |h| h.replace("q_proj.lora_A", "q_proj.lora_C"))));
    assert!(tensor(&with_header(&good, |h| h.replace("[4,64]", "[64,4]"))));
    assert!(tensor(&with_header(&good, |h| h.replace("\"F32\"", "\"I32\""))));

    assert!(config(&with_config(&good, "\"r\":4", "\"r\":0")));
    assert!(tensor(&with_config(&good, "\"r\":4", "\"r\":8")));
    assert!(config(&with_config(&good, "\"r\":4", "\"r\":4,\"layer_replication\":[[0,1]]")));
    assert!(config(&with_config(&good, "\"r\":4", "\"r\":4,\"r\":4")));
    assert!(config(&with_config(&good, "\"use_dora\":false", "\"use_dora\":true")));
    assert!(config(&with_config(&good, "[0,1]", "[0,1,2]")));
    assert!(config(&with_config(&good, "[0,1]", "[1,0]")));
    assert!(config(&with_config(&good, "\"q_proj\"", "\"q_proj\",\"q_proj\"")));
    assert!(config(&Artefact { config: b"null".to_vec(), weights: good.weights.clone() }));
    let large = Adapter::check(&good, &base(), 100).map(|_| ());
    assert!(matches!(large, Err(ArtefactError::TooLarge { limit: 100, .. })));
}

#[test]
fn the_base_itself_is_not_fine_tuned_under_another_name() {
    let good = artefact();
    let (len, rest) = good.weights.split_first_chunk::<8>().unwrap();
    let header = u64::from_le_bytes(*len) as usize;
    let mut weights = good.weights.clone();
    weights[8 + header..].fill(0);
    assert!(rest.len() > header);
    let zero = Artefact { config: good.config.clone(), weights };
    assert_eq!(check(&zero), Err(ArtefactError::NotFineTuned));
    // Tiny but not zero: one B of 1e-12 and its A.
    let tiny = set_last(&zero, 1e-12);
    assert_eq!(check(&tiny), Err(ArtefactError::NotFineTuned));
}

#[test]
fn recipes_out_of_range_are_refused_all_at_once() {
    let bad = "schema = 2\nseeds = 1\n[adapter]\nr = 0\ntargets = [\"q\", \"q\"]\nalpha = 1.5\nlayers = [3, 1]\n\
               [train]\nsteps = 0\nepochs = 3\n[optimiser]\nlr = 3\nclip = 0\nkind = \"lion\"\n\
               [schedule]\nwarmup_ratio = nan\n[data]\nmax_len = 8\nfile = \"/etc/passwd\"\n[objective]\nkind = \"dpo\"\n";
    let errors = Recipe::parse(bad.as_bytes()).unwrap_err();
    let paths: Vec<&str> = errors.0.iter().map(|e| e.path.as_str()).collect();
    for path in [
        "schema",
        "seeds",
        "adapter.r",
        "adapter.targets",
        "adapter.alpha",
        "adapter.layers",
        "train.steps",
        "train.epochs",
        "optimiser.lr",
        "optimiser.clip",
        "optimiser.kind",
        "schedule.warmup_ratio",
        "data.max_len",
        "data.file",
        "objective.kind",
    ] {
        assert!(paths.contains(&path), "{path} not in {paths:?}");
    }
    assert_eq!(paths.len(), 15, "{paths:?}");
    assert!(errors.to_string().contains("optimiser.lr: expected 0 < lr <= 1, got 3"), "{errors}");
}

#[test]
fn recipes_that_are_not_toml_of_the_schema_are_refused() {
    for bad in [
        &b"schema = 1\nschema = 1\n"[..],
        b"schema = 1\n[adapter]\nr = 8\nr = 8\n",
        b"schema = 1\n[adapter]\n[adapter]\n",
        b"schema = 1\nadapter = 3\n",
        b"",
        b"\xff\xfe",
        b"schema = \"1\"\n",
    ] {
        assert!(Recipe::parse(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
    }
    assert!(Recipe::parse(&vec![b'#'; (64 << 10) + 1]).is_err());
    assert!(Recipe::parse(b"schema = 1\n").is_ok());
}

#[test]
fn base_models_that_are_not_whole_are_refused() {
    let refuse = |change: &dyn Fn(&mut Gguf)| {
        let mut file = Gguf::tiny();
        change(&mut file);
        BaseModel::from_gguf(&file.bytes()).map(|_| ()).unwrap_err()
    };
    let inconsistent = |e| matches!(e, ModelError::Inconsistent { .. });
    let unsupported = |e| matches!(e, ModelError::Unsupported { .. });
    assert!(matches!(refuse(&|f| f.version = 2), ModelError::Malformed { .. }));
    assert!(unsupported(refuse(&|f| f.set("general.architecture", text("mamba")))));
    assert!(unsupported(refuse(&|f| f.set("tokenizer.ggml.pre", text("deepseek-llm")))));
    assert!(unsupported(refuse(&|f| f.set("tokenizer.ggml.model", text("llama")))));
    assert!(unsupported(refuse(&|f| f.set("llama.expert_count", integer(8)))));
    assert!(unsupported(refuse(&|f| f.tensors[0].2 = 14)));
    assert!(inconsistent(refuse(&|f| f.set("llama.block_count", integer(3)))));
    assert!(inconsistent(refuse(&|f| f.set("llama.block_count", integer(1)))));
    assert!(inconsistent(refuse(&|f| f.set("llama.attention.head_count", integer(0)))));
    assert!(inconsistent(refuse(&|f| f.set("llama.embedding_length", integer(96)))));
    assert!(inconsistent(refuse(&|f| {
        f.tensors.pop();
    })));
    assert!(inconsistent(refuse(&|f| f.tensors.push(f.tensors[3].clone()))));
    assert!(inconsistent(refuse(&|f| f.metadata.push(f.metadata[1].clone()))));
    assert!(inconsistent(refuse(&|f| f.shift = 1 << 40)));
    assert!(matches!(refuse(&|f| f.shift = 4_u64.wrapping_neg()), ModelError::Malformed { .. }));
    assert!(inconsistent(refuse(&|f| f.tensors[2].1 = vec![u64::MAX, u64::MAX])));
    assert!(matches!(
        refuse(&|f| f.tensors[0].3[..4].copy_from_slice(&f32::NAN.to_le_bytes())),
        ModelError::NotFinite { .. }
    ));
    let whole = Gguf::tiny().bytes();
    for cut in [0, 3, 20, 200, 5000, whole.len() - 1] {
        assert!(BaseModel::from_gguf(&whole[..cut]).is_err(), "{cut}");
    }
}
