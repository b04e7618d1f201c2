//! The checklist: one row a rule, with a stable id (ATTESTATION 3, 4, 8).

use std::fmt;

use serde::{Serialize, Serializer};

/// Whether a policy may waive a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// No policy can waive it.
    Always,
    /// The charter's level and floors decide.
    Policy,
}

/// One row of the checklist.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Check {
    pub id: CheckId,
    pub title: &'static str,
    pub class: Class,
    /// Specification, table or document that the rule comes from.
    pub source: &'static str,
    /// Names of the failures that it can report.
    pub error: &'static [Code],
}

/// What one check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail,
    /// Not reached, or the evidence says nothing about it.
    NotShown,
    /// The rule has no object in this evidence.
    NotApplicable,
    /// Accepted at this level, and to be printed.
    Warning,
}

/// One line of the trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckOutcome {
    pub check: CheckId,
    /// `cpu0`, `gpu0`, or `envelope`.
    pub submod: String,
    pub verdict: Verdict,
    pub expected: String,
    pub got: String,
}

/// One reason for a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: CheckId,
    pub submod: String,
    pub code: Code,
    pub expected: String,
    pub got: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, submod, code, expected, got } = self;
        write!(f, "{check} {submod} {code}: expected {expected}, found {got}")
    }
}

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($name:ident = $text:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $type { $($name,)* }

        impl $type {
            /// The printed name; never changed or given to another meaning.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
    };
}

macro_rules! codes {
    ($($name:ident)*) => {
        names! {
            /// Stable name of a failure, as ATTESTATION prints it.
            Code { $($name = stringify!($name),)* }
        }
    };
}

macro_rules! checklist {
    ($($name:ident $id:literal $class:ident $source:literal $title:literal [$($code:ident)*])*) => {
        names! {
            /// Identity of a check: printed ids are never renumbered or reused.
            CheckId { $($name = $id,)* }
        }

        /// Every check, in the order of the documents.
        pub const CHECKS: &[Check] = &[$(Check {
            id: CheckId::$name,
            title: $title,
            class: Class::$class,
            source: $source,
            error: &[$(Code::$code,)*],
        },)*];
    };
}

codes! {
    CheckNotRun TooLarge KeyFormat NotYetAppraised TopologyMismatch
    NonceMismatch NonceExpired BindingMismatch RuntimeNotCanonical CompositeBinding
    KeyMismatch RoleMismatch CharterMismatch OrderMismatch LeaseMismatch
    ConfigInvalid HostDataMismatch ReportLength TrailingBytes GpuEvidenceStale ChannelBinding
    BackendBelowCharter BackendNotListed AnchorsNotVendor
    ReportVersion SigAlgo SigPaddingNonZero ReportSignature ReservedNonZero
    CertFormat ChainShape UntrustedRoot IssuerMismatch IssuerNotCa CertSignature
    CertNotYetValid CertExpired CertRevoked RevocationUnknown CollateralStale SigningKey
    ProductMismatch ProductRefused TcbMismatch TcbTooOld TcbProvisional
    ChipIdMismatch ChipIdMasked UnknownChip PlatformRevoked
    PolicyDebug PolicyMigration PolicyMismatch PlatformInfo VmplMismatch
    MeasurementMismatch IdKeyMismatch ImageIdMismatch SvnTooLow MitigationMissing
}

checklist! {
    Evd01 "EVD-01" Always "ATTESTATION 1" "the envelope is within its limits and its keys have their exact lengths" [TooLarge KeyFormat]
    Evd02 "EVD-02" Always "ATTESTATION 1" "every part of the evidence is of a kind that this verifier appraises" [NotYetAppraised]
    Bnd01 "BND-01" Always "ATTESTATION 3" "the nonce is the challenge's" [NonceMismatch]
    Bnd02 "BND-02" Always "ATTESTATION 3" "the challenge is at most 60 s old and used once" [NonceExpired]
    Bnd03 "BND-03" Always "ATTESTATION 3" "REPORT_DATA is SHA-512 of the canonical runtime document" [BindingMismatch RuntimeNotCanonical]
    Bnd04 "BND-04" Always "ATTESTATION 3" "the plain KBS form answers KBS challenges only" [BindingMismatch]
    Bnd05 "BND-05" Always "ATTESTATION 3" "all devices answer the nonce derived from the challenge" [CompositeBinding]
    Bnd06 "BND-06" Always "ATTESTATION 3" "the runtime document lists exactly the devices of the envelope" [CompositeBinding]
    Bnd07 "BND-07" Always "ATTESTATION 3" "keys, role, charter, order and lease are those of the challenge" [KeyMismatch RoleMismatch CharterMismatch OrderMismatch LeaseMismatch]
    Bnd08 "BND-08" Always "ATTESTATION 3, HOST 1" "HOST_DATA is the digest of the launch configuration presented" [ConfigInvalid HostDataMismatch RoleMismatch CharterMismatch OrderMismatch LeaseMismatch]
    Bnd09 "BND-09" Always "ATTESTATION 3" "every vendor blob has its exact length" [ReportLength TrailingBytes]
    Bnd10 "BND-10" Always "ATTESTATION 3" "device evidence is complete or at most 3,600 s old" [GpuEvidenceStale]
    Chn01 "CHN-01" Always "ATTESTATION 11" "the runtime document names this channel's exporter" [ChannelBinding]
    Pol01 "POL-01" Policy "HOST 2" "the charter lists the backend, and its level allows it" [BackendBelowCharter BackendNotListed]
    Pol02 "POL-02" Policy "ATTESTATION 1" "the roots are the vendors', or the one foreign set that a lab charter names" [AnchorsNotVendor]
    Gpu17 "GPU-17" Always "ATTESTATION 6" "the device count is the charter's" [TopologyMismatch]
    Snp01 "SNP-01" Always "AMD 56860 ATTESTATION_REPORT 0x000" "report version 2 to 5" [ReportVersion]
    Snp02 "SNP-02" Always "AMD 56860 ATTESTATION_REPORT 0x034" "signature algorithm is ECDSA P-384 with SHA-384" [SigAlgo]
    Snp03 "SNP-03" Always "AMD 56860 ATTESTATION_REPORT 0x2A0" "signature padding is zero" [SigPaddingNonZero]
    Snp04 "SNP-04" Always "AMD 56860 ATTESTATION_REPORT 0x2A0" "the endorsement key signed the received bytes" [ReportSignature]
    Snp05 "SNP-05" Always "AMD 56860 ATTESTATION_REPORT" "reserved bytes and bits are zero" [ReservedNonZero]
    Snp06 "SNP-06" Always "AMD 57230, RFC 5280" "the endorsement key chains to a pinned root" [CertFormat ChainShape UntrustedRoot IssuerMismatch IssuerNotCa CertSignature]
    Snp07 "SNP-07" Always "RFC 5280 4.1.2.5" "every certificate is valid at the time of the appraisal" [CertNotYetValid CertExpired]
    Snp08 "SNP-08" Policy "AMD 57230, RFC 5280 5" "no certificate is revoked" [CertRevoked RevocationUnknown]
    Snp09 "SNP-09" Policy "AMD 56860 ATTESTATION_REPORT 0x048" "the signing key is of an allowed kind" [SigningKey]
    Snp10 "SNP-10" Always "AMD 57230 3704.1.2, CPUID Fn1" "certificate, root and CPUID name one product" [ProductMismatch]
    Snp11 "SNP-11" Policy "ATTESTATION 2" "the product is allowed" [ProductRefused]
    Snp12 "SNP-12" Always "AMD 56860 0x180, AMD 57230 3704.1.3" "reported security versions are those of the certificate" [TcbMismatch]
    Snp13 "SNP-13" Policy "AMD 56860 0x180, 0x1E0, 0x1F0" "committed, reported and launch security versions are at or above the floor" [TcbTooOld]
    Snp14 "SNP-14" Policy "AMD 56860 0x038, 0x1E0, 0x1E8" "the firmware is committed" [TcbProvisional]
    Snp15 "SNP-15" Always "AMD 56860 0x1A0, AMD 57230 3704.1.4" "the chip is the certificate's" [ChipIdMismatch]
    Snp16 "SNP-16" Policy "AMD 56860 0x1A0, 0x048" "the chip names itself" [ChipIdMasked]
    Snp17 "SNP-17" Policy "ATTESTATION 7" "the chip is enrolled" [UnknownChip PlatformRevoked]
    Snp18 "SNP-18" Always "AMD 56860 0x008, 0x160" "neither debug nor migration is possible" [PolicyDebug PolicyMigration PolicyMismatch]
    Snp19 "SNP-19" Policy "AMD 56860 0x008" "guest policy bits are as the level asks" [PolicyMismatch]
    Snp20 "SNP-20" Policy "AMD 56860 0x040" "platform bits are as the level asks" [PlatformInfo]
    Snp21 "SNP-21" Policy "AMD 56860 0x030" "the privilege level is the charter's" [VmplMismatch]
    Snp22 "SNP-22" Always "AMD 56860 0x090" "the measurement is a reference value of this image" [MeasurementMismatch]
    Snp23 "SNP-23" Policy "AMD 56860 0x004, 0x010, 0x0E0, 0x110" "identity block and guest security version are as referenced" [IdKeyMismatch ImageIdMismatch SvnTooLow]
    Snp24 "SNP-24" Policy "AMD 56860 0x1F8" "required mitigations are on" [MitigationMissing]
    Col03 "COL-03" Policy "ATTESTATION 8" "collateral is younger than the level's limit" [CollateralStale]
}

impl CheckId {
    /// The row of this check.
    pub fn row(self) -> &'static Check {
        // The enum and the table come from one macro, so the discriminant is the index.
        &CHECKS[self as usize]
    }
}
