//! The two files of an adapter.

use std::collections::BTreeMap;

/// Trained weights: an adapter's configuration and its safetensors file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artefact {
    /// `adapter_config.json`, canonical JSON.
    pub config: Vec<u8>,
    /// `adapter_model.safetensors`, a function of the weights alone.
    pub weights: Vec<u8>,
}

/// One matrix to save.
pub(crate) struct Saved {
    pub(crate) name: String,
    pub(crate) shape: [usize; 2],
    pub(crate) values: Vec<f32>,
}

#[derive(serde::Serialize)]
struct Entry {
    dtype: &'static str,
    shape: [usize; 2],
    data_offsets: [usize; 2],
}

/// A safetensors file with tensors in the order of their names: equal weights give equal bytes.
pub(crate) fn safetensors(mut tensors: Vec<Saved>, metadata: &BTreeMap<&str, String>) -> Vec<u8> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), serde_json::to_value(metadata).unwrap_or_default());
    let mut at = 0;
    for tensor in &tensors {
        let end = at + tensor.values.len() * 4;
        let entry = Entry { dtype: "F32", shape: tensor.shape, data_offsets: [at, end] };
        header.insert(tensor.name.clone(), serde_json::to_value(entry).unwrap_or_default());
        at = end;
    }
    let mut text = serde_json::Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut out = Vec::with_capacity(8 + text.len() + at);
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(&text);
    out.extend(tensors.iter().flat_map(|t| &t.values).flat_map(|v| v.to_le_bytes()));
    out
}
