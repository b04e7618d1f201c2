//! Arguments as typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tiltyard_attestation::Hex;

/// Keeps a party's keys, seals its data, and releases keys to attested guests.
///
/// Exit codes: 0 done, 1 failed, 2 usage, 3 verification refused.
#[derive(Debug, Parser)]
#[command(name = "tiltyard-broker", version)]
pub struct LowArgs {
    /// How results and errors are printed
    #[arg(long, global = true, value_enum, default_value_t = OutputForm::Text)]
    pub(crate) output: OutputForm,
    #[command(subcommand)]
    pub(super) command: LowCommand,
}

/// How results are printed: for a person, or as one JSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum LowCommand {
    /// Make the home of an owner's or operator's broker: key file, store, keys, certificate
    Init(Init),
    /// Print the public identity of a home; needs no passphrase
    Identity(Identity),
    /// Read a dataset's rows as `seal` would, and report what must be mended; seals nothing
    Check(Source),
    /// Seal a dataset: split, shards, signed manifests
    Seal(Seal),
    /// Make the home of an entrant
    EntrantInit(EntrantInit),
    /// Seal and sign a submission, its key in escrow with the operator
    Submit(Submit),
    /// Admit a submission to the operator's roll
    Enrol(Enrol),
    /// Sign, show or compare charters
    #[command(subcommand)]
    Charter(LowCharter),
    /// Sign collateral for sites without a network
    #[command(subcommand)]
    Collateral(LowCollateral),
    /// Seal, open or look at single containers, outside of any home
    #[command(subcommand)]
    Container(LowContainer),
    /// Serve the broker protocol
    Serve(Serve),
    /// Print the newest result token of a lease; needs no passphrase
    Token(Token),
    /// Open an artefact or log whose key was deposited here
    Open(Open),
}

#[derive(Debug, Subcommand)]
pub(super) enum LowCharter {
    /// Sign a charter, once its changes and its digest p were shown
    Sign(CharterSign),
    /// Print every change from OLD to NEW, widening changes first
    Diff(CharterDiff),
    /// Print what an envelope holds and who signed it
    Show(CharterShow),
}

#[derive(Debug, Subcommand)]
pub(super) enum LowCollateral {
    /// Make a signed bundle of the vendors' files in a folder
    Sign(CollateralSign),
}

/// Containers are C2SP chunked-encryption, Cobblestone-256: other programs read and write them.
#[derive(Debug, Subcommand)]
pub(super) enum LowContainer {
    /// Seal a file
    Seal(ContainerFiles),
    /// Open a container; the file appears only once all of it verified
    Open(ContainerFiles),
    /// Print header and lengths; with a key, whether it belongs to the container
    Inspect(ContainerInspect),
}

#[derive(Debug, Args)]
pub(super) struct ContainerFiles {
    /// The data key: 32 bytes, or 64 hex digits
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// What the container is bound to, 32 bytes
    #[arg(long, value_name = "HEX")]
    pub context: Hex<32>,
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Threads that work on it; left out, as many as there are processors, at most 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub threads: Option<u8>,
}

#[derive(Debug, Args)]
pub(super) struct ContainerInspect {
    /// The container
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// A data key to hold it against: 32 bytes, or 64 hex digits
    #[arg(long, value_name = "FILE", requires = "context")]
    pub key_file: Option<PathBuf>,
    /// What the container is bound to, 32 bytes
    #[arg(long, value_name = "HEX", requires = "key_file")]
    pub context: Option<Hex<32>>,
}

/// A home that must be unlocked.
#[derive(Debug, Args)]
pub(super) struct Unlock {
    /// Folder of keys and store
    #[arg(long)]
    pub dir: PathBuf,
    /// Read the passphrase from this file descriptor; without it, from the terminal
    #[arg(long, value_name = "N")]
    pub passphrase_fd: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    pub unlock: Unlock,
    #[arg(long, value_enum)]
    pub role: BrokerRole,
    /// Memory of the passphrase's key derivation (argon2id), 64 to 1024
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub kdf_memory_mib: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum BrokerRole {
    Owner,
    Operator,
}

#[derive(Debug, Args)]
pub(super) struct Identity {
    /// Folder of keys and store
    #[arg(long)]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct EntrantInit {
    #[command(flatten)]
    pub unlock: Unlock,
    /// Memory of the passphrase's key derivation (argon2id), 64 to 1024
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub kdf_memory_mib: u32,
}

#[derive(Debug, Args)]
pub(super) struct Seal {
    #[command(flatten)]
    pub unlock: Unlock,
    /// Name of the tenant, as in the charter
    #[arg(long)]
    pub tenant: String,
    /// 1 to 64 of a-z, 0-9, '-', '_'
    #[arg(long)]
    pub dataset_id: String,
    #[command(flatten)]
    pub source: Source,
    /// Least rows that are held out
    #[arg(long, value_name = "N")]
    pub test_rows: u64,
    /// Licence of the data, as it stands in the manifest
    #[arg(long, default_value = "proprietary")]
    pub licence: String,
    /// How long the manifests are valid
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub valid_days: u32,
    /// Folder for sealed objects and manifests
    #[arg(long)]
    pub out: PathBuf,
}

/// Rows, and which of their columns fill which field. Columns that are not named are dropped.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The rows' file
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// How it is written; left out, by its name: .jsonl, .json or .csv
    #[arg(long, value_enum)]
    pub format: Option<SourceFormat>,
    /// What the rows are for
    #[arg(long, value_enum, default_value_t = TaskKind::Instruct)]
    pub task: TaskKind,
    /// Instruct: column of the instruction
    #[arg(long, value_name = "COLUMN")]
    pub instruction: Option<String>,
    /// Instruct: column of further input to the instruction
    #[arg(long, value_name = "COLUMN")]
    pub input_column: Option<String>,
    /// Instruct: column of the expected output
    #[arg(long, value_name = "COLUMN")]
    pub output_column: Option<String>,
    /// Instruct, DPO: column of the system prompt
    #[arg(long, value_name = "COLUMN")]
    pub system_column: Option<String>,
    /// Chat: column of the list of messages
    #[arg(long, value_name = "COLUMN")]
    pub messages: Option<String>,
    /// Chat: member of a message that names who speaks
    #[arg(long, value_name = "MEMBER", default_value = "from")]
    pub role_field: String,
    /// Chat: member of a message that holds what is said
    #[arg(long, value_name = "MEMBER", default_value = "value")]
    pub content_field: String,
    /// Chat: what the user is called
    #[arg(long, value_name = "TEXT", default_value = "user")]
    pub user: String,
    /// Chat: what the assistant is called
    #[arg(long, value_name = "TEXT", default_value = "assistant")]
    pub assistant: String,
    /// DPO, GRPO: column of the prompt
    #[arg(long, value_name = "COLUMN")]
    pub prompt: Option<String>,
    /// DPO: column of the better answer
    #[arg(long, value_name = "COLUMN")]
    pub chosen: Option<String>,
    /// DPO: column of the worse answer
    #[arg(long, value_name = "COLUMN")]
    pub rejected: Option<String>,
    /// GRPO: column of what reward functions need beside the prompt
    #[arg(long, value_name = "COLUMN")]
    pub extra_column: Option<String>,
    /// Columns whose equal rows must fall on the same side of the split
    #[arg(long, value_name = "COLUMN")]
    pub group: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum SourceFormat {
    Jsonl,
    Json,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TaskKind {
    Instruct,
    Chat,
    Dpo,
    Grpo,
}

#[derive(Debug, Args)]
pub(super) struct Submit {
    #[command(flatten)]
    pub unlock: Unlock,
    /// The recipe, TOML, at most 64 KiB
    #[arg(long, value_name = "FILE")]
    pub recipe: PathBuf,
    /// The tournament's id
    #[arg(long)]
    pub tournament: String,
    /// Name of the base model, as in the charter
    #[arg(long)]
    pub base: String,
    #[arg(long)]
    pub licence: String,
    /// The operator's public identity, as `identity --output json` prints it
    #[arg(long, value_name = "FILE")]
    pub escrow: PathBuf,
    /// Folder for submission.json and the sealed object
    #[arg(long)]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Enrol {
    #[command(flatten)]
    pub unlock: Unlock,
    /// The entrant's submission.json
    #[arg(long, value_name = "FILE")]
    pub submission: PathBuf,
    /// Public name in the tournament
    #[arg(long)]
    pub label: String,
    /// This submission holds the title
    #[arg(long)]
    pub champion: bool,
    /// Minor units paid
    #[arg(long, default_value_t = 0)]
    pub buy_in: u64,
    #[arg(long, default_value_t = 0)]
    pub stake: u64,
    #[arg(long, default_value_t = 0)]
    pub completed_entries: u32,
    /// The owner may read the trainer's log of this submission
    #[arg(long)]
    pub log_permitted: bool,
    /// Where to write the roll entry
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CharterSign {
    #[command(flatten)]
    pub unlock: Unlock,
    /// The charter, JSON
    #[arg(long, value_name = "FILE")]
    pub charter: PathBuf,
    /// The envelope that the other party signed already
    #[arg(long, value_name = "FILE")]
    pub envelope: Option<PathBuf>,
    /// The charter before this one, to show the changes against
    #[arg(long, value_name = "FILE")]
    pub previous: Option<PathBuf>,
    /// Where to write the envelope
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// First 8 hex digits of p; without it, asked for on the terminal
    #[arg(long, value_name = "HEX")]
    pub confirm: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct CharterDiff {
    pub old: PathBuf,
    pub new: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CharterShow {
    pub envelope: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CollateralSign {
    #[command(flatten)]
    pub unlock: Unlock,
    /// Folder with the files where a bundle has them: amd/{vcek,chain,crl}-ID, intel/{tcbinfo,tcbinfo-chain,qeidentity,
    /// qeidentity-chain,pckcrl,pckcrl-chain,rootcrl}-ID, nvidia/{rim,ocsp,crl}-ID
    #[arg(long, value_name = "FOLDER")]
    pub from: PathBuf,
    /// Days until the bundle is stale, whatever its items say, 1 to 366
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=366))]
    pub expires_days: u32,
    /// Where to write the bundle
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    pub unlock: Unlock,
    /// The charter's envelope, signed by owner and operator
    #[arg(long, value_name = "FILE")]
    pub charter: PathBuf,
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// A foreign anchor set: taken only when a `lab` charter names its digest
    #[arg(long, value_name = "FILE")]
    pub anchors: Option<PathBuf>,
    /// Certificates, revocation lists and reference values of the vendors: JSON, or a signed bundle. SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub collateral: Option<PathBuf>,
    /// Ed25519 key of whoever signed the bundle; without it, this home's own
    #[arg(long, value_name = "HEX", requires = "collateral")]
    pub collateral_key: Option<Hex<32>>,
    /// Write the port here once listening
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Token {
    /// Folder of keys and store
    #[arg(long)]
    pub dir: PathBuf,
    /// The guest's lease, 32 hex digits
    #[arg(long, value_name = "HEX")]
    pub lease: Hex<16>,
}

#[derive(Debug, Args)]
pub(super) struct Open {
    #[command(flatten)]
    pub unlock: Unlock,
    /// artefact/<hex> or log/<hex>
    #[arg(long)]
    pub key_id: String,
    /// The sealed object
    #[arg(long, value_name = "FILE")]
    pub object: PathBuf,
    /// The object's name, as its reference in the record has it
    #[arg(long, value_name = "HEX")]
    pub name: String,
    /// Digest of the train order
    #[arg(long, value_name = "HEX")]
    pub order: String,
    /// Folder for what is inside
    #[arg(long)]
    pub out: PathBuf,
}
