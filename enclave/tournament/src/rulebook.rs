//! The rulebook: every figure that the rules use, in one signed TOML file (TOURNAMENT 2).

use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::units::{Minor, PPM_ONE, Ppm};

/// Largest rulebook, in bytes.
pub const RULEBOOK_MAX_BYTES: usize = 64 * 1024;
/// Largest field: rank weights stay exact, and a round's leaf below its limit.
pub const FIELD_MAX: u32 = 32;
/// Most tasks of a boss round.
pub const BOSS_TASKS_MAX: u32 = 16;
/// Most attempts of one training or evaluation.
pub const ATTEMPTS_MAX: u32 = 16;

const SEED: &[u8] = include_bytes!("../presets/seed.toml");

/// The bytes of a rulebook that is compiled in.
pub fn preset(name: &str) -> Result<&'static [u8], PresetError> {
    match name {
        "seed" => Ok(SEED),
        "dec2025" | "paired" => Err(PresetError::NotYet { name: name.to_owned() }),
        "legacy" => Err(PresetError::Legacy),
        _ => Err(PresetError::Unknown { got: name.chars().take(32).collect() }),
    }
}

/// Why there is no such preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PresetError {
    #[error("preset {name}: not in this version\nuse \"seed\", or sign a rulebook of its shape")]
    NotYet { name: String },
    #[error(
        "preset legacy: its weekly score needs roots, which this crate does not compute\nuse \"dec2025\""
    )]
    Legacy,
    #[error("preset: expected seed, dec2025 or paired, found {got:?}")]
    Unknown { got: String },
}

/// A rulebook that was read and checked, with the digest of the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rulebook {
    rules: Rules,
    sha256: Digest,
    len_bytes: usize,
}

/// Why a rulebook was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulebookError {
    #[error("rulebook: expected at most {RULEBOOK_MAX_BYTES} bytes, found {got}")]
    TooLarge { got: usize },
    #[error("rulebook: expected UTF-8")]
    NotUtf8,
    #[error("rulebook: {what}")]
    Syntax { what: String },
    #[error("rulebook, {key}: expected {expected}, found {got}")]
    Range { key: &'static str, expected: String, got: String },
    #[error("rulebook, kind: expected \"text\", found {got:?}\nother kinds of task are not in this version")]
    UnsupportedTaskKind { got: TournamentKind },
    #[error(transparent)]
    Preset(#[from] PresetError),
}

impl Rulebook {
    /// Reads and checks the bytes as received; unknown and repeated keys are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, RulebookError> {
        if bytes.len() > RULEBOOK_MAX_BYTES {
            return Err(RulebookError::TooLarge { got: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RulebookError::NotUtf8)?;
        let rules: Rules =
            toml::from_str(text).map_err(|e| RulebookError::Syntax { what: e.message().to_owned() })?;
        rules.check()?;
        Ok(Self { rules, sha256: Digest::sha256(bytes), len_bytes: bytes.len() })
    }

    /// SHA-256 over the received bytes.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

impl std::ops::Deref for Rulebook {
    type Target = Rules;

    fn deref(&self) -> &Rules {
        &self.rules
    }
}

/// The keys of a rulebook file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Rules {
    /// Always 1.
    pub version: u32,
    /// The preset whose algorithms apply.
    pub preset: String,
    pub kind: TournamentKind,
    pub field: Field,
    pub stake: Stake,
    pub schedule: Schedule,
    pub group: GroupRules,
    pub boss: BossRules,
    pub attempts: Attempts,
    pub failures: Failures,
    pub points: PointRules,
    pub mix_ppm: PerKind,
    pub weights_ppm: PerKind,
    pub pool: PoolRules,
    pub rank: RankRules,
}

/// Text and image tournaments are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TournamentKind {
    Text,
    Image,
}

/// A kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    Instruct,
    Dpo,
    Grpo,
    Image,
}

/// Which way a kind's score improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    LowerIsBetter,
    HigherIsBetter,
}

impl TaskKind {
    /// GRPO measures reward, all others a loss.
    pub fn direction(self) -> Direction {
        match self {
            Self::Grpo => Direction::HigherIsBetter,
            Self::Instruct | Self::Dpo | Self::Image => Direction::LowerIsBetter,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Challengers that are taken; 1 to [`FIELD_MAX`].
    pub size: u32,
    /// Fewer challengers cancel the tournament, a single one excepted where this is at most 2.
    pub min: u32,
    pub buy_in_minor: Minor,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stake {
    pub bonus_per_entry_ppm: Ppm,
    pub bonus_max_ppm: Ppm,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Least time from the commitment to the close of entries, in seconds.
    pub entries_s: u32,
    /// Time between a settled round and the next one's first order, in seconds.
    pub break_s: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRules {
    /// This many challengers or fewer skip the group round.
    pub skip_at: u32,
    /// Best of the group that go on.
    pub advance: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BossRules {
    pub tasks: u32,
    pub margin: MarginRule,
}

/// How much better a challenger must be, by the champion's number of titles.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum MarginRule {
    /// One step a defence; the last one stays.
    Steps { ppm: Vec<Ppm> },
    /// Multiplied by `factor_ppm` at every defence, never below `floor_ppm`.
    Decay { start_ppm: Ppm, factor_ppm: Ppm, floor_ppm: Ppm },
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempts {
    pub train: u32,
    pub evaluate: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    pub too_many: TooMany,
    /// Share of a task's trainings that may fail.
    pub above_ppm: Ppm,
}

/// What happens when too many trainings of a task failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TooMany {
    Off,
    /// The round waits for the operator's signed decision.
    Stop,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointRules {
    pub best: i32,
    pub worst: i32,
    /// One in this many valid results gets `worst`.
    pub worst_one_in: u32,
    /// Smaller fields of a task have no `worst`.
    pub worst_from_field: u32,
    pub round_value: RoundValue,
}

/// What winning a task of round R is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
pub enum RoundValue {
    /// `ratio^(R-1)`
    Geometric { ratio: u32 },
    /// `R`
    Linear,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerKind {
    pub instruct: Ppm,
    pub dpo: Ppm,
    pub grpo: Ppm,
    pub image: Ppm,
}

impl PerKind {
    pub fn of(&self, kind: TaskKind) -> Ppm {
        match kind {
            TaskKind::Instruct => self.instruct,
            TaskKind::Dpo => self.dpo,
            TaskKind::Grpo => self.grpo,
            TaskKind::Image => self.image,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolRules {
    pub base_ppm: Ppm,
    pub cap_ppm: Ppm,
    /// Improvement from which the pool grows.
    pub diff_from_ppm: Ppm,
    pub diff_gain: u32,
    /// Taken off the boost for every title after the first.
    pub per_title_ppm: Ppm,
    /// For taking part, before the pools.
    pub participant_ppm: Ppm,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankRules {
    /// The decay's numerator: rank r+1 weighs num/den of rank r.
    pub decay_num: u32,
    /// The decay's denominator.
    pub decay_den: u32,
}

impl Rules {
    fn check(&self) -> Result<(), RulebookError> {
        within("version", self.version, 1, 1)?;
        if self.preset != "seed" {
            preset(&self.preset)?;
        }
        if self.kind != TournamentKind::Text {
            return Err(RulebookError::UnsupportedTaskKind { got: self.kind });
        }
        within("field.size", self.field.size, 1, FIELD_MAX)?;
        within("field.min", self.field.min, 1, self.field.size)?;
        within("stake.bonus_per_entry_ppm", self.stake.bonus_per_entry_ppm.0, 0, PPM_ONE)?;
        within("stake.bonus_max_ppm", self.stake.bonus_max_ppm.0, 0, PPM_ONE)?;
        within("schedule.entries_s", self.schedule.entries_s, 0, 90 * 86_400)?;
        within("schedule.break_s", self.schedule.break_s, 0, 30 * 86_400)?;
        within("group.skip_at", self.group.skip_at, 1, FIELD_MAX)?;
        within("group.advance", self.group.advance, 1, self.field.size)?;
        within("boss.tasks", self.boss.tasks, 1, BOSS_TASKS_MAX)?;
        self.check_margin()?;
        within("attempts.train", self.attempts.train, 1, ATTEMPTS_MAX)?;
        within("attempts.evaluate", self.attempts.evaluate, 1, ATTEMPTS_MAX)?;
        within("failures.above_ppm", self.failures.above_ppm.0, 0, PPM_ONE)?;
        self.check_points()?;
        share_of_one("mix_ppm", &self.mix_ppm)?;
        share_of_one("weights_ppm", &self.weights_ppm)?;
        self.check_pool()
    }

    fn check_margin(&self) -> Result<(), RulebookError> {
        match &self.boss.margin {
            MarginRule::Steps { ppm } => {
                let steps = u32::try_from(ppm.len()).unwrap_or(u32::MAX);
                within("boss.margin.ppm, steps", steps, 1, 16)?;
                ppm.iter().try_for_each(|step| within("boss.margin.ppm", step.0, 0, PPM_ONE))
            }
            MarginRule::Decay { start_ppm, factor_ppm, floor_ppm } => {
                within("boss.margin.start_ppm", start_ppm.0, 0, PPM_ONE)?;
                within("boss.margin.factor_ppm", factor_ppm.0, 0, PPM_ONE)?;
                within("boss.margin.floor_ppm", floor_ppm.0, 0, start_ppm.0)
            }
        }
    }

    fn check_points(&self) -> Result<(), RulebookError> {
        let points = &self.points;
        for (key, got) in [("points.best", points.best), ("points.worst", points.worst)] {
            if !(-100..=100).contains(&got) {
                return Err(range(key, -100, 100, got));
            }
        }
        within("points.worst_one_in", points.worst_one_in, 1, FIELD_MAX)?;
        within("points.worst_from_field", points.worst_from_field, 2, FIELD_MAX + 1)?;
        match points.round_value {
            RoundValue::Geometric { ratio } => within("points.round_value.ratio", ratio, 1, 10),
            RoundValue::Linear => Ok(()),
        }
    }

    fn check_pool(&self) -> Result<(), RulebookError> {
        let pool = &self.pool;
        within("pool.base_ppm", pool.base_ppm.0, 0, PPM_ONE)?;
        within("pool.cap_ppm", pool.cap_ppm.0, pool.base_ppm.0, PPM_ONE)?;
        within("pool.diff_from_ppm", pool.diff_from_ppm.0, 0, PPM_ONE)?;
        within("pool.diff_gain", pool.diff_gain, 0, 100)?;
        within("pool.per_title_ppm", pool.per_title_ppm.0, 0, PPM_ONE)?;
        within("pool.participant_ppm", pool.participant_ppm.0, 0, 10_000)?;
        within("rank.decay_den", self.rank.decay_den, 1, 10)?;
        within("rank.decay_num", self.rank.decay_num, 0, self.rank.decay_den)
    }
}

fn within(key: &'static str, got: u32, least: u32, most: u32) -> Result<(), RulebookError> {
    if (least..=most).contains(&got) { Ok(()) } else { Err(range(key, least, most, got)) }
}

fn range<T: std::fmt::Display>(key: &'static str, least: T, most: T, got: T) -> RulebookError {
    RulebookError::Range { key, expected: format!("{least} to {most}"), got: got.to_string() }
}

fn share_of_one(key: &'static str, kinds: &PerKind) -> Result<(), RulebookError> {
    let sum: u64 =
        [kinds.instruct, kinds.dpo, kinds.grpo, kinds.image].iter().map(|part| u64::from(part.0)).sum();
    if sum == u64::from(PPM_ONE) {
        Ok(())
    } else {
        Err(RulebookError::Range { key, expected: format!("a sum of {PPM_ONE}"), got: sum.to_string() })
    }
}
