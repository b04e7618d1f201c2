//! Which source columns fill which fields of a kind of row, and the canonical row that comes of it (TOURNAMENT 7).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::json;
use super::rows::{ROW_MAX_BYTES, Row, RowProblem};

/// What the rows are for, with the source column of every field. Columns that are not named here are dropped.
///
/// A field in an `Option` may be absent, null or empty, which are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Fields {
    /// An instruction and its answer. A row without either is refused.
    Instruct { instruction: String, input: Option<String>, output: String, system: Option<String> },
    /// A conversation: a list of messages, or its JSON as text. Messages without role or content are left out; a row that
    /// is left with fewer than two is dropped.
    Chat {
        messages: String,
        /// Members of a message.
        role: String,
        content: String,
        /// Values of the role that stand for the user and for the assistant.
        user: String,
        assistant: String,
    },
    /// A prompt with a better and a worse answer. A row that lacks one is dropped.
    Dpo { prompt: String, chosen: String, rejected: String, system: Option<String> },
    /// A prompt for answers that reward functions judge; what they need beside it may be any value, or its JSON as text.
    Grpo { prompt: String, extra: Option<String> },
}

/// Fields of rows, and which columns keep rows together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    pub fields: Fields,
    /// Rows with equal values in all of these stay on one side of the split (customer, document). Empty: only equal rows
    /// stay together.
    pub group_columns: Vec<String>,
}

/// What becomes of one source row.
pub(super) enum Fate {
    Kept(Row),
    /// The rules of its kind leave it out; counted.
    Dropped,
}

/// Source column to blame, and what is wrong.
pub(super) type Refusal = (Option<String>, RowProblem);

impl Fields {
    /// Name of the kind, as documents have it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Instruct { .. } => "instruct",
            Self::Chat { .. } => "chat",
            Self::Dpo { .. } => "dpo",
            Self::Grpo { .. } => "grpo",
        }
    }

    /// Source columns that must be there.
    pub(super) fn required(&self) -> Vec<&str> {
        match self {
            Self::Instruct { instruction, output, .. } => vec![instruction, output],
            Self::Chat { messages, .. } => vec![messages],
            Self::Dpo { prompt, chosen, rejected, .. } => vec![prompt, chosen, rejected],
            Self::Grpo { prompt, .. } => vec![prompt],
        }
    }

    /// Source columns that may be there.
    pub(super) fn optional(&self) -> Vec<&str> {
        match self {
            Self::Instruct { input, system, .. } => {
                [input, system].into_iter().flatten().map(String::as_str).collect()
            }
            Self::Chat { .. } => Vec::new(),
            Self::Dpo { system: one, .. } | Self::Grpo { extra: one, .. } => {
                one.as_deref().into_iter().collect()
            }
        }
    }
}

impl Mapping {
    /// Fields that canonical rows of this mapping may have, sorted.
    pub(super) fn canonical_fields(&self) -> Vec<String> {
        let named = |column: &Option<String>, field: &'static str| column.as_ref().map(|_| field);
        let fields = match &self.fields {
            Fields::Instruct { input, system, .. } => {
                vec![named(input, "input"), Some("instruction"), Some("output"), named(system, "system")]
            }
            Fields::Chat { .. } => vec![Some("messages")],
            Fields::Dpo { system, .. } => {
                vec![Some("chosen"), Some("prompt"), Some("rejected"), named(system, "system")]
            }
            Fields::Grpo { extra, .. } => vec![named(extra, "extra_data"), Some("prompt")],
        };
        fields.into_iter().flatten().map(str::to_owned).collect()
    }

    /// Every source column that is named: fields, then groups.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        let fields = self.fields.required().into_iter().chain(self.fields.optional());
        fields.chain(self.group_columns.iter().map(String::as_str))
    }

    /// The canonical row of one record.
    pub(super) fn apply(&self, source: &Map<String, Value>) -> Result<Fate, Refusal> {
        let canonical = match &self.fields {
            Fields::Instruct { instruction, input, output, system } => canonical(&Instruct {
                instruction: required(source, instruction)?,
                input: optional(source, input.as_deref())?,
                output: required(source, output)?,
                system: optional(source, system.as_deref())?,
            })?,
            Fields::Chat { messages, role, content, user, assistant } => {
                let messages = list(source, messages)?;
                let of = |message: &Value| Message::read(message, role, content, user, assistant);
                let messages = messages.iter().filter_map(of).collect::<Vec<_>>();
                if messages.len() < CHAT_LEAST {
                    return Ok(Fate::Dropped);
                }
                canonical(&Chat { messages })?
            }
            Fields::Dpo { prompt, chosen, rejected, system } => {
                let text = |column: &str| optional(source, Some(column));
                let (Some(prompt), Some(chosen), Some(rejected)) =
                    (text(prompt)?, text(chosen)?, text(rejected)?)
                else {
                    return Ok(Fate::Dropped);
                };
                let system = optional(source, system.as_deref())?;
                canonical(&Dpo { prompt, chosen, rejected, system })?
            }
            Fields::Grpo { prompt, extra } => {
                let prompt = required(source, prompt)?;
                let extra_data = match extra.as_deref().and_then(|column| Some((column, source.get(column)?)))
                {
                    None | Some((_, Value::Null)) => None,
                    Some((column, Value::String(text))) => Some(parsed(text, column)?),
                    Some((_, value)) => Some(value.clone()),
                };
                canonical(&Grpo { prompt, extra_data })?
            }
        };
        Ok(Fate::Kept(Row::new(canonical, group(source, &self.group_columns)?)))
    }
}

/// Fewest messages of a conversation.
const CHAT_LEAST: usize = 2;

#[derive(Serialize)]
struct Instruct<'a> {
    instruction: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    output: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
}

#[derive(Serialize)]
struct Chat {
    messages: Vec<Message>,
}

#[derive(Serialize)]
struct Message {
    role: String,
    content: String,
}

#[derive(Serialize)]
struct Dpo<'a> {
    prompt: &'a str,
    chosen: &'a str,
    rejected: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
}

#[derive(Serialize)]
struct Grpo<'a> {
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_data: Option<Value>,
}

impl Message {
    /// `None` without a role or a content.
    fn read(message: &Value, role: &str, content: &str, user: &str, assistant: &str) -> Option<Self> {
        let text = |member: &str| message.get(member)?.as_str().filter(|text| !text.is_empty());
        let role = match text(role)? {
            said if said == user => "user",
            said if said == assistant => "assistant",
            other => other,
        };
        Some(Self { role: role.to_owned(), content: text(content)?.to_owned() })
    }
}

fn required<'a>(source: &'a Map<String, Value>, column: &str) -> Result<&'a str, Refusal> {
    let refuse = |problem| Err((Some(column.to_owned()), problem));
    match source.get(column) {
        None | Some(Value::Null) => refuse(RowProblem::Missing),
        Some(Value::String(text)) if text.is_empty() => refuse(RowProblem::Empty),
        Some(Value::String(text)) => Ok(text),
        Some(_) => refuse(RowProblem::NotAString),
    }
}

fn optional<'a>(source: &'a Map<String, Value>, column: Option<&str>) -> Result<Option<&'a str>, Refusal> {
    let Some(column) = column else { return Ok(None) };
    match source.get(column) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err((Some(column.to_owned()), RowProblem::NotAString)),
    }
}

/// A list as it stands, or its JSON as text, as tables have it.
fn list(source: &Map<String, Value>, column: &str) -> Result<Vec<Value>, Refusal> {
    let refuse = |problem| (Some(column.to_owned()), problem);
    let value = match source.get(column) {
        None | Some(Value::Null) => return Err(refuse(RowProblem::Missing)),
        Some(Value::String(text)) => parsed(text, column)?,
        Some(value) => value.clone(),
    };
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(refuse(RowProblem::NotAList)),
    }
}

fn parsed(text: &str, column: &str) -> Result<Value, Refusal> {
    json::value(text).map_err(|problem| (Some(column.to_owned()), problem))
}

fn group(source: &Map<String, Value>, columns: &[String]) -> Result<Option<Zeroizing<Vec<u8>>>, Refusal> {
    if columns.is_empty() {
        return Ok(None);
    }
    let mut group = Map::new();
    for column in columns {
        match source.get(column) {
            None | Some(Value::Null) => return Err((Some(column.clone()), RowProblem::Missing)),
            Some(value) => group.insert(column.clone(), value.clone()),
        };
    }
    canonical(&group).map(Some)
}

fn canonical(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let bytes = serde_jcs::to_vec(value).map(Zeroizing::new).map_err(|_| (None, RowProblem::Number))?;
    if bytes.len() > ROW_MAX_BYTES {
        return Err((None, RowProblem::RowTooLong));
    }
    Ok(bytes)
}
