//! What pages and tables show beside the claims; nothing is decided here.

use serde::Serialize;
use tiltyard_attestation::Hex;
use tiltyard_attestation::policy::PlatformId;
use tiltyard_attestation::result::Anchors;
use tiltyard_provisioning::charter::OpenCharter;
use tiltyard_provisioning::record::Record;
use tiltyard_tournament::conductor::{StandingRow, TaskView, TrainingView};
use tiltyard_tournament::{Disclosed, Replayed};

use crate::guests::{ShownGuests, level, role};
use crate::work::ShownWork;

/// The charter in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CharterFacts {
    pub id: String,
    pub p: Hex<32>,
    pub version: u64,
    pub tenant: String,
    pub tournament: String,
    pub owner: Hex<32>,
    pub operator: Hex<32>,
    /// Unix seconds.
    pub not_before: u64,
    /// Unix seconds.
    pub not_after: u64,
    pub level: &'static str,
    pub backends: Vec<String>,
    pub rulebook_sha256: Hex<32>,
    pub base: String,
    pub base_sha256: Hex<32>,
    pub datasets: Vec<DatasetFacts>,
    pub images: Vec<ImageFacts>,
    /// SHA-256 of the HPKE key that results are sealed to.
    pub recipient: Hex<32>,
    /// Bits that the record may disclose about one dataset.
    pub cap_bits: u32,
    pub test_items: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetFacts {
    pub id: String,
    pub split: String,
    pub manifest_sha256: Hex<32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    pub name: String,
    pub backend: String,
    pub measurement: Hex<48>,
}

/// The record in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordFacts {
    pub log_origin: String,
    pub log_size: u64,
    pub log_root: Hex<32>,
    /// None when a tournament without a defender was cancelled.
    pub champion: Option<Hex<32>>,
    pub unwitnessed: bool,
    /// Unix seconds.
    pub time: u64,
}

/// One guest whose lease, receipt and evidence held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuestFacts {
    pub lease: Hex<16>,
    pub role: &'static str,
    pub order: Option<Hex<32>>,
    /// The task of its order.
    pub task: Option<String>,
    pub backend: String,
    pub image: String,
    pub image_sha256: Hex<32>,
    pub measurement: Hex<48>,
    /// Product and security versions.
    pub hardware: String,
    /// CHIP_ID or PPID.
    pub platform_id: PlatformId,
    pub signing_key: Hex<32>,
    /// Key ids of the release in the bundle.
    pub released: Vec<String>,
    /// Time of the release, Unix seconds.
    pub time: u64,
    pub ledger_index: u64,
    pub checks: usize,
    /// Checks that the charter's level let through.
    pub warnings: Vec<String>,
    pub anchors: Anchors,
}

/// One participant's final line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entrant {
    /// From 1; none without any valid result.
    pub place: Option<u32>,
    pub label: String,
    pub submission: String,
    pub entrant: String,
    /// Defended the title.
    pub defender: bool,
    /// Holds the title now.
    pub champion: bool,
    pub tasks: Vec<EntrantTask>,
}

/// One task of one participant: held-out loss, mean per label in nat, before and after training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntrantTask {
    pub task: String,
    pub dataset: String,
    /// What the training came to.
    pub training: String,
    /// What the evaluation came to.
    pub evaluation: String,
    /// The untouched base model, four decimals.
    pub before: Option<String>,
    /// Four decimals.
    pub after: Option<String>,
    /// After less before, four decimals: below 0 is better.
    pub change: Option<String>,
    pub attempts: u32,
}

impl CharterFacts {
    pub(crate) fn of(charter: &OpenCharter) -> Self {
        Self {
            id: charter.charter_id.clone(),
            p: charter.p(),
            version: charter.version,
            tenant: charter.tenant.clone(),
            tournament: charter.tournament.id.clone(),
            owner: charter.signers.owner,
            operator: charter.signers.operator,
            not_before: charter.not_before,
            not_after: charter.not_after,
            level: level(charter.level),
            backends: charter.backends.iter().map(word).collect(),
            rulebook_sha256: charter.tournament.rulebook_sha256,
            base: charter.base.name.clone(),
            base_sha256: charter.base.sha256,
            datasets: charter
                .datasets
                .iter()
                .map(|dataset| DatasetFacts {
                    id: dataset.dataset_id.clone(),
                    split: word(&dataset.split),
                    manifest_sha256: dataset.manifest_sha256,
                })
                .collect(),
            images: charter
                .reference_values
                .images
                .iter()
                .map(|image| ImageFacts {
                    name: image.name.clone(),
                    backend: word(&image.backend),
                    measurement: image.measurement,
                })
                .collect(),
            recipient: charter.output.owner_recipient.digest(),
            cap_bits: charter.output.cap_bits,
            test_items: charter.tournament.budget.test_items,
        }
    }
}

impl RecordFacts {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            log_origin: record.log_origin.clone(),
            log_size: record.log_size,
            log_root: record.log_root,
            champion: record.champion,
            unwitnessed: record.unwitnessed,
            time: record.time,
        }
    }
}

impl GuestFacts {
    /// In the order of their releases.
    pub(crate) fn all(shown: &ShownGuests, work: &ShownWork) -> Vec<Self> {
        let mut guests: Vec<Self> = shown
            .values()
            .map(|guest| Self {
                lease: guest.lease.lease,
                role: role(guest.lease.role),
                order: guest.lease.order,
                task: guest
                    .lease
                    .order
                    .and_then(|order| work.orders.get(&order))
                    .map(|order| order.task.clone()),
                backend: word(&guest.backend),
                image: guest.cpu.image_name().to_owned(),
                image_sha256: guest.image,
                measurement: guest.cpu.measurement(),
                hardware: guest.cpu.hardware(),
                platform_id: guest.cpu.platform_id(),
                signing_key: guest.signing,
                released: guest.release.released.iter().map(ToString::to_string).collect(),
                time: guest.release.time,
                ledger_index: guest.index,
                checks: guest.checks,
                warnings: guest.open.iter().map(|row| row.check.to_string()).collect(),
                anchors: guest.anchors,
            })
            .collect();
        guests.sort_by_key(|guest| guest.ledger_index);
        guests
    }
}

impl Entrant {
    /// As the rules place them.
    pub(crate) fn all(replayed: &Replayed) -> Vec<Self> {
        let tasks: Vec<&TaskView> = replayed.state.rounds.iter().flat_map(|round| &round.tasks).collect();
        replayed.standings.rows.iter().map(|row| Self::of(row, replayed, &tasks)).collect()
    }

    fn of(row: &StandingRow, replayed: &Replayed, tasks: &[&TaskView]) -> Self {
        let own = |task: &&&TaskView| {
            let training = task.trainings.iter().find(|training| training.submission == row.submission);
            training.map(|training| EntrantTask::of(task, training))
        };
        Self {
            place: row.place,
            label: row.label.as_str().to_owned(),
            submission: row.submission.to_string(),
            entrant: row.entrant.to_string(),
            defender: row.champion,
            champion: replayed.decided.holder == Some(row.submission),
            tasks: tasks.iter().filter_map(|task| own(&task)).collect(),
        }
    }
}

impl EntrantTask {
    /// The one word that says most: why there is no score, or `done`.
    pub fn outcome(&self) -> &str {
        match self.training.as_str() {
            "done" | "timed_out" if self.evaluation != "-" && self.evaluation != "done" => &self.evaluation,
            training => training,
        }
    }

    fn of(task: &TaskView, training: &TrainingView) -> Self {
        let text = |status: Option<tiltyard_tournament::Status>| {
            status.map_or_else(|| "-".to_owned(), |status| word(&status))
        };
        let change = training
            .score
            .zip(task.base)
            .and_then(|(after, before)| Disclosed::try_from(after.steps().checked_sub(before.steps())?).ok());
        Self {
            task: task.task.clone(),
            dataset: task.dataset.clone(),
            training: text(training.status),
            evaluation: text(training.evaluated),
            before: task.base.map(Disclosed::decimal),
            after: training.score.map(Disclosed::decimal),
            change: change.map(Disclosed::decimal),
            attempts: training.attempts,
        }
    }
}

/// A closed set's member in its written form.
fn word<S: Serialize>(value: &S) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
