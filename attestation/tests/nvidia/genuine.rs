//! Reports of real devices. The H100 of `vectors/nvidia/device` is always there; the rest stands in the shared
//! collection.

use tiltyard_attestation::evidence::DeviceKind;
use tiltyard_attestation::nvidia::{Certificates, Facts, Status, files, ueid_decimal};
use tiltyard_attestation::policy::{Architecture, GpuMode, Level};
use tiltyard_attestation::{AppraisalPolicy, CheckId, Code, Verdict};

use crate::support::{Bench, NOW, findings, own, shared, verdict};

const NONCE: &str = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";

/// The H100 of this repository: report and certificates.
pub fn h100() -> (Vec<u8>, Certificates) {
    let report = files::report(&own("hopperAttestationReport.txt")).unwrap();
    (report, Certificates::from_pem(&own("hopperCertChain.txt")))
}

struct Genuine {
    report: &'static str,
    chain: &'static str,
    architecture: Architecture,
    nonce: &'static str,
    driver: &'static str,
    vbios: &'static str,
    mode: Option<GpuMode>,
    firmware: Verdict,
}

const GENUINE: [Genuine; 5] = [
    Genuine {
        report: "hopper/nvtrust_hopperAttestationReport.txt",
        chain: "hopper/nvtrust_hopperCertChain.txt",
        architecture: Architecture::Hopper,
        nonce: NONCE,
        driver: "550.90.07",
        vbios: "96.00.9F.00.01",
        mode: Some(GpuMode::Spt),
        firmware: Verdict::Pass,
    },
    Genuine {
        report: "hopper/nvat_sample_hopperAttestationReport.txt",
        chain: "hopper/nvat_sample_hopperCertChain.txt",
        architecture: Architecture::Hopper,
        nonce: "27a328247bf7935c993341cf587be6f05986ccce4fe7ba2c54100bd616a58f66",
        driver: "535.86.09",
        vbios: "96.00.5E.00.01",
        mode: None,
        firmware: Verdict::Warning,
    },
    Genuine {
        report: "hopper/nvat_sample_hopperAttestationReportExpired.txt",
        chain: "hopper/nvat_sample_hopperCertChainExpired.txt",
        architecture: Architecture::Hopper,
        nonce: NONCE,
        driver: "570.124.03",
        vbios: "96.00.5E.00.04",
        mode: Some(GpuMode::Spt),
        firmware: Verdict::Pass,
    },
    Genuine {
        report: "blackwell/nvat_sample_blackwellAttestationReport.txt",
        chain: "blackwell/nvat_sample_blackwellCertChain.txt",
        architecture: Architecture::Blackwell,
        nonce: NONCE,
        driver: "575.32",
        vbios: "97.00.88.00.0F",
        mode: None,
        firmware: Verdict::Pass,
    },
    Genuine {
        report: "switch/nvat_sample_switchAttestationReport.txt",
        chain: "switch/nvat_sample_switchCertChain.txt",
        architecture: Architecture::Ls10,
        nonce: NONCE,
        driver: "",
        vbios: "96.10.55.00.01",
        mode: None,
        firmware: Verdict::NotApplicable,
    },
];

#[test]
fn public_reports_are_authentic_and_tell_what_they_tell() {
    for genuine in GENUINE {
        let Some(text) = shared(genuine.report) else { return };
        let report = files::report(&text).unwrap();
        let chain = Certificates::from_pem(&shared(genuine.chain).unwrap());
        let kind = files::kind_of(&report);
        assert_eq!(kind, genuine.architecture.kind(), "{}", genuine.report);
        let bench = Bench { nonce: Some(genuine.nonce.parse().unwrap()), ..Bench::vendor() };
        let (facts, trace) = bench.run(kind, &report, &chain, crate::policy::judge_in_lab);
        let facts = facts.unwrap().unwrap();
        assert_eq!(findings(&trace), [], "{}", genuine.report);
        assert_eq!(facts.architecture, genuine.architecture, "{}", genuine.report);
        assert_eq!(facts.driver, genuine.driver);
        assert_eq!(facts.vbios, genuine.vbios);
        assert_eq!(facts.mode, genuine.mode, "{}", genuine.report);
        assert_eq!(verdict(&trace, CheckId::Gpu06), genuine.firmware, "{}", genuine.report);
        assert_eq!(verdict(&trace, CheckId::Gpu04), Verdict::Pass);
    }
}

#[test]
fn the_h100_of_this_repository_is_authentic_at_any_time_of_its_certificates() {
    let (report, chain) = h100();
    let at = |now| Bench { now, ..Bench::vendor() }.refusal(DeviceKind::Gpu, &report, &chain);
    // The youngest certificate begins on 2022-03-01; all end with the year 9999.
    assert_eq!(at(1_646_092_800), None);
    assert_eq!(at(253_402_300_799), None);
    assert_eq!(at(1_646_092_799), Some((CheckId::Gpu03, Code::CertNotYetValid)));
    assert_eq!(at(253_402_300_800), Some((CheckId::Gpu03, Code::CertExpired)));
}

#[test]
fn the_h100_of_this_repository_tells_its_facts() {
    let (report, chain) = h100();
    let (seen, _) = Bench::vendor().run(DeviceKind::Gpu, &report, &chain, |device, _| {
        let Facts::Gpu(gpu) = device.report().facts() else { panic!("a GPU") };
        let exchange = device.report().exchange();
        assert_eq!(exchange.blocks().len(), 64);
        assert_eq!(exchange.signed().len() + exchange.signature().len(), report.len());
        assert_eq!(exchange.nonce().to_string(), NONCE);
        assert_eq!(gpu.vbios_rim_id(), "NV_GPU_VBIOS_1010_0200_882_96009F0001");
        assert_eq!((gpu.nvdec0, gpu.protected_pcie), (Some(Status::Off), Some(Status::Off)));
        assert_eq!((gpu.feature, gpu.chip.as_deref(), gpu.switches), (None, None, None));
        let identity = device.identity();
        assert_eq!(identity.fwid(), Ok(gpu.fwid));
        assert_eq!(identity.ueid().to_string(), "53c22ba15e5d68088282da074ed9fb37aa585771");
        assert_eq!(ueid_decimal(identity.ueid()), "478176379286082186618948445787393647364802107249");
        assert_eq!(identity.pdi().unwrap().to_string(), "431d480fe5e87274");
        assert!(identity.device_key().is_some());
    });
    assert_eq!(seen, Ok(()));
}

#[test]
fn the_genuine_switch_names_itself_as_its_certificate_does() {
    let Some(text) = shared("switch/nvat_sample_switchAttestationReport.txt") else { return };
    let report = files::report(&text).unwrap();
    let chain = Certificates::from_pem(&shared("switch/nvat_sample_switchCertChain.txt").unwrap());
    let (seen, _) = Bench::vendor().run(DeviceKind::Switch, &report, &chain, |device, _| {
        let Facts::Switch(switch) = device.report().facts() else { panic!("a switch") };
        assert_eq!(switch.pdi, device.identity().pdi());
        assert_eq!(switch.pdi.unwrap().to_string(), "203eb31ad9ed0008");
        assert_eq!(switch.gpus.unwrap()[0].to_string(), "40b9c6b3d748fd90");
        assert_eq!(device.report().exchange().blocks().len(), 31);
    });
    assert_eq!(seen, Ok(()));
}

#[test]
fn gpu_04_the_public_report_with_an_invalid_signature() {
    let Some(text) = shared("hopper/nvat_sample_hopperAttestationReportInvalidSignature.txt") else { return };
    let report = files::report(&text).unwrap();
    let chains = [
        "nvtrust_hopperCertChain.txt",
        "nvat_sample_hopperCertChain.txt",
        "nvat_sample_hopperCertChainExpired.txt",
    ];
    for chain in chains {
        let chain = Certificates::from_pem(&shared(&format!("hopper/{chain}")).unwrap());
        let found = Bench::vendor().refusal(DeviceKind::Gpu, &report, &chain);
        assert_eq!(found, Some((CheckId::Gpu04, Code::ReportSignature)));
    }
}

#[test]
fn gpu_03_the_public_chain_that_is_only_the_root() {
    let Some(root) = shared("hopper/trustee_hopper_cert_chain_case2.txt") else { return };
    let (report, _) = h100();
    let found = Bench::vendor().refusal(DeviceKind::Gpu, &report, &Certificates::from_pem(&root));
    assert_eq!(found, Some((CheckId::Gpu03, Code::ChainShape)));
}

#[test]
fn public_evidence_files_are_authentic_entry_by_entry() {
    for (name, count) in [
        ("nvat_hopper_evidence.json", 1),
        ("nvat_hopper_evidence_cert_hold.json", 1),
        ("nvat_multi_switch_ls10.json", 4),
    ] {
        let Some(json) = shared(&format!("evidence/{name}")) else { return };
        let devices = files::evidence(&json).unwrap();
        assert_eq!(devices.len(), count, "{name}");
        for device in devices {
            let (kind, nonce) = (device.kind(), device.nonce);
            assert_eq!(files::kind_of(&device.report), kind);
            let chain = Certificates::from_der(device.certificates);
            let bench = Bench { nonce, ..Bench::vendor() };
            let (facts, trace) = bench.run(kind, &device.report, &chain, crate::policy::judge_in_lab);
            assert_eq!(findings(&trace), [], "{name}");
            assert_eq!(facts.unwrap().unwrap().architecture, device.architecture);
        }
    }
}

#[test]
fn the_public_protected_gpu_names_its_four_switches() {
    let Some(json) = shared("evidence/nvat_hopper_evidence.json") else { return };
    let device = files::evidence(&json).unwrap().remove(0);
    let chain = Certificates::from_der(device.certificates);
    let (seen, _) = Bench::vendor().run(DeviceKind::Gpu, &device.report, &chain, |device, _| {
        let Facts::Gpu(gpu) = device.report().facts() else { panic!("a GPU") };
        assert_eq!(gpu.mode(), Some(GpuMode::Ppcie));
        let distinct: std::collections::BTreeSet<_> = gpu.switches.unwrap().into_iter().collect();
        assert_eq!(distinct.len(), 4);
        assert!(distinct.iter().any(|pdi| pdi.to_string() == "3a53b743d811e977"));
    });
    assert_eq!(seen, Ok(()));
}

#[test]
fn above_lab_public_evidence_lacks_what_must_be_shown() {
    let (report, chain) = h100();
    let policy = AppraisalPolicy::preset(Level::Strict);
    let bench = Bench { policy, nonce: Some(NONCE.parse().unwrap()), now: NOW, ..Bench::vendor() };
    let (_, trace) = bench.run(DeviceKind::Gpu, &report, &chain, |device, trace| {
        crate::policy::judge(&bench.policy, device, trace);
    });
    let expected = [
        (CheckId::Gpu07, Code::RimVersionMismatch),
        (CheckId::Gpu13, Code::CcModeOff),
        (CheckId::Gpu14, Code::GpuMode),
        (CheckId::Gpu16, Code::UnknownDevice),
        (CheckId::Gpu09, Code::RimMissing),
        (CheckId::Gpu12, Code::MeasurementsMissing),
        (CheckId::Gpu08, Code::RevocationUnknown),
    ];
    assert_eq!(findings(&trace), expected);
}
