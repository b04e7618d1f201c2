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

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A weakness that the level may accept, and then prints.
    Medium,
    /// A protection is missing.
    High,
    /// The evidence is forged, replayed, of another guest or of a machine known to be broken.
    Critical,
}

/// Which part of composite evidence a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What binds the parts to the challenge and to each other.
    Envelope,
    /// An AMD SEV-SNP report.
    Snp,
    /// An Intel TDX quote.
    Tdx,
    /// An NVIDIA GPU's report.
    Gpu,
    /// An NVIDIA switch's report.
    Switch,
}

/// One row of the checklist.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Check {
    pub id: CheckId,
    pub title: &'static str,
    pub class: Class,
    pub severity: Severity,
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
    /// `envelope`, `cpu0`, `gpu0`.., or `nvswitch0`..
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
    ($($name:ident $id:literal $class:ident $severity:ident $source:literal $title:literal [$($code:ident)*])*) => {
        names! {
            /// Identity of a check: printed ids are never renumbered or reused.
            CheckId { $($name = $id,)* }
        }

        /// Every check, in the order of the documents.
        pub const CHECKS: &[Check] = &[$(Check {
            id: CheckId::$name,
            title: $title,
            class: Class::$class,
            severity: Severity::$severity,
            source: $source,
            error: &[$(Code::$code,)*],
        },)*];
    };
}

codes! {
    CheckNotRun TooLarge KeyFormat TopologyMismatch
    NonceMismatch NonceExpired BindingMismatch RuntimeNotCanonical CompositeBinding
    KeyMismatch RoleMismatch CharterMismatch OrderMismatch LeaseMismatch
    ConfigInvalid HostDataMismatch ConfigIdMismatch ReportLength TrailingBytes GpuEvidenceStale ChannelBinding
    ChannelPeer BackendBelowCharter BackendNotListed AnchorsNotVendor
    ReportVersion SigAlgo SigPaddingNonZero ReportSignature ReservedNonZero
    CertFormat ChainShape UntrustedRoot IssuerMismatch IssuerNotCa CertSignature
    CertNotYetValid CertExpired CertRevoked RevocationUnknown CollateralStale SigningKey
    ProductMismatch ProductRefused TcbMismatch TcbTooOld TcbProvisional
    ChipIdMismatch ChipIdMasked UnknownChip PlatformRevoked
    PolicyDebug PolicyMigration PolicyMismatch PlatformInfo VmplMismatch
    MeasurementMismatch IdKeyMismatch ImageIdMismatch SvnTooLow MitigationMissing
    QuoteVersion QuoteFormat WrongTee PckChainEncoding QuoteSignature QeBinding QeReportSignature QeIdentity
    PckChain CollateralMismatch TcbStatus AdvisoryRejected TcbEvalTooOld PlatformFlag
    TdxModule DebugTd TdAttributes SeptVe Xfam ServiceTd OwnerMismatch RtmrReplayMismatch UnknownEvent
    UnknownPlatform
    SpdmFormat OpaqueLength DuplicateMeasurement DuplicateOpaque FwidMismatch FwidMissing ArchMismatch
    RimVersionMismatch RimMissing RimIndexConflict MeasurementsMissing CcModeOff DevToolsMode GpuMode
    DuplicateDevice UnknownDevice
    RimFormat DuplicateRimIndex RimAlgorithm RimDigestMismatch RimSignature RimCertChain
    BundleSignature ItemDigest CollateralMissing ClockBehind TokenInvalid
}

checklist! {
    Evd01 "EVD-01" Always Critical "Tiltyard: envelope" "the envelope is within its limits and its keys have their exact lengths" [TooLarge KeyFormat]
    Evd02 "EVD-02" Always Critical "Tiltyard: envelope, backends" "the CPU evidence is of the kind that the launch configuration's backend gives" [WrongTee]
    Bnd01 "BND-01" Always Critical "Tiltyard: binding" "the nonce is the challenge's" [NonceMismatch]
    Bnd02 "BND-02" Always Critical "Tiltyard: binding" "the challenge is at most 60 s old and used once" [NonceExpired]
    Bnd03 "BND-03" Always Critical "Tiltyard: binding" "REPORT_DATA is SHA-512 of the canonical runtime document" [BindingMismatch RuntimeNotCanonical]
    Bnd04 "BND-04" Always Critical "Tiltyard: binding" "the plain KBS form answers KBS challenges only" [BindingMismatch]
    Bnd05 "BND-05" Always Critical "Tiltyard: binding" "all devices answer one nonce" [CompositeBinding]
    Bnd06 "BND-06" Always Critical "Tiltyard: binding" "the runtime document lists exactly the devices of the envelope" [CompositeBinding]
    Bnd07 "BND-07" Always Critical "Tiltyard: binding" "keys, role, charter, order and lease are those of the challenge" [KeyMismatch RoleMismatch CharterMismatch OrderMismatch LeaseMismatch]
    Bnd08 "BND-08" Always Critical "Tiltyard: binding, launch" "HOST_DATA or MRCONFIGID is the digest of the launch configuration presented" [ConfigInvalid HostDataMismatch ConfigIdMismatch RoleMismatch CharterMismatch OrderMismatch LeaseMismatch]
    Bnd09 "BND-09" Always Critical "Tiltyard: binding" "every vendor blob has its exact length" [ReportLength TrailingBytes]
    Bnd10 "BND-10" Always Critical "Tiltyard: binding" "device evidence is complete or at most 3,600 s old" [GpuEvidenceStale CompositeBinding]
    Chn01 "CHN-01" Always Critical "Tiltyard: channel, RFC 8446 7.5" "the runtime document names this channel's exporter" [ChannelBinding]
    Chn02 "CHN-02" Always Critical "Tiltyard: channel" "the channel's own key is the attested one, on the side that gives the evidence" [ChannelPeer]
    Pol01 "POL-01" Policy High "Tiltyard: backends" "the charter lists the backend, and its level allows it" [BackendBelowCharter BackendNotListed]
    Pol02 "POL-02" Policy Critical "Tiltyard: envelope" "the roots are the vendors', or the one foreign set that a lab charter names" [AnchorsNotVendor]
    Snp01 "SNP-01" Always Critical "AMD 56860 ATTESTATION_REPORT 0x000" "report version 2 to 5" [ReportVersion]
    Snp02 "SNP-02" Always Critical "AMD 56860 ATTESTATION_REPORT 0x034" "signature algorithm is ECDSA P-384 with SHA-384" [SigAlgo]
    Snp03 "SNP-03" Always Critical "AMD 56860 ATTESTATION_REPORT 0x2A0" "signature padding is zero" [SigPaddingNonZero]
    Snp04 "SNP-04" Always Critical "AMD 56860 ATTESTATION_REPORT 0x2A0" "the endorsement key signed the received bytes" [ReportSignature]
    Snp05 "SNP-05" Always Critical "AMD 56860 ATTESTATION_REPORT" "reserved bytes and bits are zero" [ReservedNonZero]
    Snp06 "SNP-06" Always Critical "AMD 57230, RFC 5280" "the endorsement key chains to a pinned root" [CertFormat ChainShape UntrustedRoot IssuerMismatch IssuerNotCa CertSignature]
    Snp07 "SNP-07" Always Critical "RFC 5280 4.1.2.5" "every certificate is valid at the time of the appraisal" [CertNotYetValid CertExpired]
    Snp08 "SNP-08" Policy Critical "AMD 57230, RFC 5280 5" "no certificate is revoked" [CertRevoked RevocationUnknown]
    Snp09 "SNP-09" Policy High "AMD 56860 ATTESTATION_REPORT 0x048" "the signing key is of an allowed kind" [SigningKey]
    Snp10 "SNP-10" Always Critical "AMD 57230 3704.1.2, CPUID Fn1" "certificate, root and CPUID name one product" [ProductMismatch]
    Snp11 "SNP-11" Policy Critical "Tiltyard: policy" "the product is allowed" [ProductRefused]
    Snp12 "SNP-12" Always Critical "AMD 56860 0x180, AMD 57230 3704.1.3" "reported security versions are those of the certificate" [TcbMismatch]
    Snp13 "SNP-13" Policy Critical "AMD 56860 0x180, 0x1E0, 0x1F0" "committed, reported and launch security versions are at or above the floor" [TcbTooOld]
    Snp14 "SNP-14" Policy Medium "AMD 56860 0x038, 0x1E0, 0x1E8" "the firmware is committed" [TcbProvisional]
    Snp15 "SNP-15" Always Critical "AMD 56860 0x1A0, AMD 57230 3704.1.4" "the chip is the certificate's" [ChipIdMismatch]
    Snp16 "SNP-16" Policy High "AMD 56860 0x1A0, 0x048" "the chip names itself" [ChipIdMasked]
    Snp17 "SNP-17" Policy Critical "Tiltyard: enrolment" "the chip is enrolled" [UnknownChip PlatformRevoked]
    Snp18 "SNP-18" Always Critical "AMD 56860 0x008, 0x160" "neither debug nor migration is possible" [PolicyDebug PolicyMigration PolicyMismatch]
    Snp19 "SNP-19" Policy High "AMD 56860 0x008" "guest policy bits are as the level asks" [PolicyMismatch]
    Snp20 "SNP-20" Policy High "AMD 56860 0x040" "platform bits are as the level asks" [PlatformInfo]
    Snp21 "SNP-21" Policy High "AMD 56860 0x030" "the privilege level is the charter's" [VmplMismatch]
    Snp22 "SNP-22" Always Critical "AMD 56860 0x090" "the measurement is a reference value of this image" [MeasurementMismatch]
    Snp23 "SNP-23" Policy High "AMD 56860 0x004, 0x010, 0x0E0, 0x110" "identity block and guest security version are as referenced" [IdKeyMismatch ImageIdMismatch SvnTooLow]
    Snp24 "SNP-24" Policy Medium "AMD 56860 0x1F8" "required mitigations are on" [MitigationMissing]
    Tdx01 "TDX-01" Always Critical "DCAP quote v4, v5 header" "version 4 or 5, ECDSA P-256, TEE type TDX, Intel's quoting enclave" [QuoteVersion QuoteFormat WrongTee]
    Tdx02 "TDX-02" Always Critical "DCAP quote v4, v5 body and certification data" "body and certification data are of the known types, and all lengths add up" [QuoteFormat TrailingBytes]
    Tdx03 "TDX-03" Always Critical "DCAP certification data 5, RFC 7468" "the certificate chain stands in its one encoding and ends in the pinned root" [PckChainEncoding]
    Tdx04 "TDX-04" Always Critical "DCAP quote signature data" "the attestation key signed header and body" [QuoteSignature]
    Tdx05 "TDX-05" Always Critical "DCAP QE report" "the quoting enclave vouches for the attestation key, and the PCK for the enclave" [QeBinding QeReportSignature]
    Tdx06 "TDX-06" Always Critical "PCS QE identity" "the quoting enclave is Intel's, as its signed identity says" [QeIdentity]
    Tdx07 "TDX-07" Always Critical "Intel PCK certificates, RFC 5280" "the PCK certificate chains to the pinned root, is valid at the time, and is not revoked" [CertFormat ChainShape UntrustedRoot IssuerMismatch IssuerNotCa CertSignature CertNotYetValid CertExpired PckChain CertRevoked RevocationUnknown CollateralStale]
    Tdx08 "TDX-08" Always Critical "PCS TCB info" "signed TCB info is for this platform and in its time" [CollateralMismatch CollateralStale CollateralMissing]
    Tdx09 "TDX-09" Policy Critical "PCS TCB info, TDX module identities, QE identity" "the merged TCB status is allowed, without a refused advisory" [TcbStatus AdvisoryRejected CollateralMissing]
    Tdx10 "TDX-10" Policy High "PCS tcbEvaluationDataNumber" "the collateral's evaluation number is at or above the floor" [TcbEvalTooOld CollateralMissing]
    Tdx11 "TDX-11" Policy Medium "PCK extension 1.2.840.113741.1.13.1.7" "the platform's configuration flags are allowed" [PlatformFlag]
    Tdx12 "TDX-12" Always Critical "TDX ABI 348551 TEE_TCB_INFO" "the TDX module is Intel's and at or above the floor" [TdxModule]
    Tdx13 "TDX-13" Always Critical "TDX ABI 348551 table 3.23" "neither debug, profiling nor migration is possible; reserved attributes are zero" [DebugTd TdAttributes]
    Tdx14 "TDX-14" Policy High "TDX ABI 348551 table 3.23" "the remaining attributes are as required" [SeptVe TdAttributes]
    Tdx15 "TDX-15" Policy High "TDX ABI 348551 XFAM" "extended features are within the allowed mask" [Xfam]
    Tdx16 "TDX-16" Always Critical "TDX ABI 348551 MR_SERVICETD" "no service TD is bound" [ServiceTd]
    Tdx17 "TDX-17" Always Critical "TDX ABI 348551 TD_REPORT" "MRTD is a reference value of this image, and the owner fields are as referenced" [MeasurementMismatch OwnerMismatch]
    Tdx18 "TDX-18" Always Critical "TCG CC event log, Tiltyard: event log" "the event log replays to RTMR0..3, and each event is allowed for this image" [RtmrReplayMismatch UnknownEvent MeasurementMismatch]
    Tdx19 "TDX-19" Policy Critical "Tiltyard: enrolment" "the platform is enrolled" [UnknownPlatform PlatformRevoked]
    Gpu01 "GPU-01" Always Critical "DMTF DSP0274 1.1 MEASUREMENTS" "request, response, record and opaque data have their exact form" [SpdmFormat OpaqueLength]
    Gpu02 "GPU-02" Always Critical "DMTF DSP0274 1.1" "no measurement and no opaque field stands twice" [DuplicateMeasurement DuplicateOpaque]
    Gpu03 "GPU-03" Always Critical "RFC 5280" "the device certificate chains to the pinned root and is valid at the time" [CertFormat ChainShape UntrustedRoot IssuerMismatch IssuerNotCa CertSignature CertNotYetValid CertExpired]
    Gpu04 "GPU-04" Always Critical "DMTF DSP0274 1.1" "the device signed the received bytes, over the nonce asked for" [ReportSignature NonceMismatch]
    Gpu05 "GPU-05" Always Critical "TCG DICE 2.23.133.5.4.1, 2.23.133.5.4.1.1" "the firmware id of the report is the certificate's" [FwidMismatch]
    Gpu06 "GPU-06" Policy High "Tiltyard: devices" "a GPU report names its firmware id" [FwidMissing]
    Gpu07 "GPU-07" Policy High "Tiltyard: devices" "the architecture is allowed, driver and VBIOS are at or above the floor" [ArchMismatch RimVersionMismatch]
    Gpu08 "GPU-08" Policy Critical "RFC 6960, RFC 5280 5" "no certificate of device or reference manifests is revoked" [CertRevoked RevocationUnknown CollateralStale]
    Gpu09 "GPU-09" Always Critical "NVIDIA RIM" "the reference manifests of this driver and VBIOS are there" [RimMissing RimVersionMismatch]
    Gpu10 "GPU-10" Always Critical "NVIDIA RIM, DSP0274" "every active reference measurement is the device's" [RimIndexConflict MeasurementMismatch]
    Gpu11 "GPU-11" Always Critical "NVIDIA RIM" "measurement 35 is left out only while NVDEC0 is off" [MeasurementMismatch]
    Gpu12 "GPU-12" Always Critical "NVIDIA RIM" "there are reference values and measurements at all" [MeasurementsMissing]
    Gpu13 "GPU-13" Always Critical "Tiltyard: devices" "confidential mode is on and developer tools are off, as the measured guest read it" [CcModeOff DevToolsMode]
    Gpu14 "GPU-14" Policy High "Tiltyard: devices" "the feature mode is the charter's" [GpuMode]
    Gpu15 "GPU-15" Always Critical "Tiltyard: devices" "no device stands twice" [DuplicateDevice]
    Gpu16 "GPU-16" Policy Critical "Tiltyard: enrolment" "the device is enrolled" [UnknownDevice PlatformRevoked]
    Gpu17 "GPU-17" Always Critical "Tiltyard: devices" "charter, launch configuration, PCI bus, driver and evidence count devices alike" [TopologyMismatch]
    Gpu18 "GPU-18" Policy High "Tiltyard: devices" "GPUs and switches of a protected fabric name each other and no one else" [TopologyMismatch]
    Rim01 "RIM-01" Always Critical "ISO/IEC 19770-2, NVIDIA RIM" "a manifest is one SWID document with unique measurement indexes" [RimFormat DuplicateRimIndex TooLarge]
    Rim02 "RIM-02" Always Critical "XML Signature 1.1, Canonical XML 1.1" "it holds one signature with one reference, by the one set of algorithms" [RimFormat RimAlgorithm]
    Rim03 "RIM-03" Always Critical "XML Signature 1.1 3.2" "digest and signature cover the very tree that is read" [RimDigestMismatch RimSignature]
    Rim04 "RIM-04" Always Critical "RFC 5280" "its signer chains to the pinned root and is valid at the time" [RimCertChain CertNotYetValid CertExpired]
    Col01 "COL-01" Always Critical "Tiltyard: collateral" "the bundle's manifest is signed and every item has its digest" [BundleSignature ItemDigest]
    Col02 "COL-02" Always High "Tiltyard: collateral" "the bundle holds what this evidence needs" [CollateralMissing]
    Col03 "COL-03" Policy High "Tiltyard: collateral" "collateral is younger than the level's limit" [CollateralStale]
    Col04 "COL-04" Policy High "Tiltyard: collateral" "the bundle has not expired, and the clock is not behind the newest collateral" [ClockBehind CollateralStale]
    Tok01 "TOK-01" Always Critical "Tiltyard: token, RFC 7515, RFC 8037" "one compact JWS, algorithm exactly EdDSA, signed by a known key that it names" [TokenInvalid]
    Tok02 "TOK-02" Always Critical "Tiltyard: token, RFC 7519 4.1" "the token is for this reader, in its time, and seen for the first time" [TokenInvalid]
    Tok03 "TOK-03" Always Critical "Tiltyard: token, draft-ietf-rats-ear-04" "header and claims are strict JSON of the profile, without a member twice" [TokenInvalid]
    Tok04 "TOK-04" Always Critical "Tiltyard: token, RFC 7800" "the token names the attested key that it is held against" [TokenInvalid]
}

impl CheckId {
    /// The row of this check.
    pub fn row(self) -> &'static Check {
        // The enum and the table come from one macro, so the discriminant is the index.
        &CHECKS[self as usize]
    }

    /// Whether the check has an object in this part of the evidence.
    pub fn covers(self, part: Part) -> bool {
        let device = matches!(part, Part::Gpu | Part::Switch);
        match (self.as_str().split_once('-').map(|(family, _)| family), self) {
            (_, Self::Bnd09 | Self::Col03) => part != Part::Envelope,
            (_, Self::Gpu15 | Self::Gpu17 | Self::Gpu18) => part == Part::Envelope,
            (Some("SNP"), _) => part == Part::Snp,
            (Some("TDX"), _) => part == Part::Tdx,
            (Some("GPU" | "RIM"), _) => device,
            // A token is no part of evidence.
            (Some("TOK"), _) => false,
            _ => part == Part::Envelope,
        }
    }
}
