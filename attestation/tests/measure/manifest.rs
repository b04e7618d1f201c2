//! The image manifest: what it is made of, what it says, and what it refuses.

use tiltyard_attestation::Hex;
use tiltyard_attestation::measure::manifest::{
    FileDigest, ImageBytes, ImageInputs, ImageManifest, MANIFEST_MAX_BYTES, SHAPES_MAX, Shape, SnpInputs,
    TdxInputs, expected,
};
use tiltyard_attestation::measure::snp::{self, Firmware, KernelHashes, Launch, SevFeatures, VcpuModel, Vmm};
use tiltyard_attestation::measure::tdx::{self, KernelForm, LaunchProfile, PageOrder, Separator};
use tiltyard_attestation::measure::{CommandLine, MeasureError, Part};

use crate::synthetic::{kernel, ovmf_x64, sev_firmware, stream, tdx_firmware};

const PROFILE: LaunchProfile = LaunchProfile {
    page_order: PageOrder::PerPage,
    kernel: KernelForm::SetupHeader { memory_mib: 8192 },
    separator: Separator::Present,
};

struct Files {
    kernel: Vec<u8>,
    initrd: Vec<u8>,
    snp: Vec<u8>,
    tdx: Vec<u8>,
}

impl Files {
    fn new() -> Self {
        Self {
            kernel: kernel("kernel", 0x4000, 0),
            initrd: stream("initrd", 9999),
            snp: sev_firmware(),
            tdx: tdx_firmware(),
        }
    }

    fn bytes(&self) -> ImageBytes<'_> {
        ImageBytes {
            kernel: &self.kernel,
            initrd: Some(&self.initrd),
            snp_firmware: Some(&self.snp),
            tdx_firmware: Some(&self.tdx),
        }
    }

    fn inputs(&self) -> ImageInputs {
        let shape = |model: &str, vcpus| Shape { model: model.parse().unwrap(), vcpus };
        ImageInputs {
            kernel: FileDigest::of(&self.kernel),
            initrd: Some(FileDigest::of(&self.initrd)),
            cmdline: CommandLine::new("quiet panic=-1").unwrap(),
            snp: Some(SnpInputs {
                firmware: FileDigest::of(&self.snp),
                vmm: Vmm::Qemu,
                features: SevFeatures::new(0x21).unwrap(),
                shapes: vec![shape("EPYC-v4", 1), shape("EPYC-v4", 2), shape("EPYC-Genoa", 2)],
            }),
            tdx: Some(TdxInputs {
                firmware: FileDigest::of(&self.tdx),
                profile: PROFILE,
                rtmr0_events: vec![Hex([1; 48])],
            }),
        }
    }

    fn manifest(&self) -> ImageManifest {
        ImageManifest::build(self.inputs(), &self.bytes()).unwrap()
    }
}

#[test]
fn a_manifest_holds_what_the_calculations_give() {
    let files = Files::new();
    let manifest = files.manifest();
    let got = expected(&manifest, &files.bytes()).unwrap();
    assert_eq!(got, manifest.expected);
    let inputs = files.inputs();
    let snp = inputs.snp.unwrap();
    let hashes = KernelHashes::of(&files.kernel, &files.initrd, &inputs.cmdline);
    assert_eq!(got.snp.len(), 3);
    for (shape, row) in snp.shapes.iter().zip(&got.snp) {
        let launch = Launch {
            firmware: Firmware::Whole(&files.snp),
            kernel: Some(hashes),
            vmm: snp.vmm,
            vcpus: shape.vcpus,
            model: shape.model,
            features: snp.features,
        };
        assert_eq!((row.shape, Ok(row.measurement)), (*shape, snp::launch_digest(&launch)));
    }
    let tdx = got.tdx.unwrap();
    let digest = tdx::kernel_digest(&files.kernel, &files.initrd, &inputs.cmdline, PROFILE.kernel).unwrap();
    assert_eq!(Ok(tdx.mrtd), tdx::mrtd(&files.tdx, PageOrder::PerPage));
    assert_eq!(tdx.rtmr1, tdx::rtmr(&tdx::rtmr1_events(digest, Separator::Present)));
    assert_eq!(tdx.rtmr2, tdx::rtmr(&tdx::rtmr2_events(&inputs.cmdline, &files.initrd)));
}

#[test]
fn a_manifest_reads_what_it_writes_and_nothing_else() {
    let manifest = Files::new().manifest();
    let bytes = manifest.to_bytes();
    assert_eq!(ImageManifest::from_bytes(&bytes), Ok(manifest));
    let text = String::from_utf8(bytes).unwrap();
    let reads = |text: &str| ImageManifest::from_bytes(text.as_bytes());
    let not_canonical = [text.replacen(':', ": ", 1), format!("{text}\n"), format!(" {text}")];
    for other in not_canonical {
        assert_eq!(reads(&other), Err(MeasureError::ManifestNotCanonical));
    }
    let syntax = [
        text.replace("\"cmdline\"", "\"cmdlines\""),
        text.replacen('{', "{\"extra\":1,", 1),
        text.replacen("\"v\":1", "\"v\":1,\"v\":1", 1),
        text.replace("\"cmdline\":\"quiet", "\"cmdline\":\" quiet"),
        text.replace("\"qemu\"", "\"QEMU\""),
        text.replace("\"EPYC-v4\"", "\"EPYC-v9\""),
        text.replace("0000000000000021", "0000000000000020"),
        text.replace("\"per-page\"", "\"per-chunk\""),
        text.replace("\"present\"", "true"),
        text.replacen("\"vcpus\":1", "\"vcpus\":-1", 1),
        text.replacen("\"vcpus\":1", "\"vcpus\":1.5", 1),
        text.replace("\"memory_mib\":8192", "\"memory_mib\":8192,\"memory\":1"),
        text[..text.len() - 1].to_owned(),
        format!("{text}{{}}"),
        String::new(),
    ];
    for other in syntax {
        assert!(matches!(reads(&other), Err(MeasureError::ManifestSyntax(_))), "{other}");
    }
    let newer = text.replace("\"v\":1", "\"v\":2");
    assert_eq!(reads(&newer), Err(MeasureError::ManifestVersion { expected: 1, got: 2 }));
    let large = vec![b' '; MANIFEST_MAX_BYTES + 1];
    let refused = MeasureError::ManifestTooLarge { limit: MANIFEST_MAX_BYTES, got: large.len() };
    assert_eq!(ImageManifest::from_bytes(&large), Err(refused));
}

#[test]
fn a_file_that_is_not_the_one_named_is_refused() {
    let files = Files::new();
    let manifest = files.manifest();
    let flipped = |file: &[u8]| {
        let mut other = file.to_vec();
        other[0] ^= 1;
        other
    };
    let longer = |file: &[u8]| [file, &[0]].concat();
    type Change = fn(&Files, Vec<u8>) -> Files;
    let parts: [(Part, &Vec<u8>, Change); 4] = [
        (Part::Kernel, &files.kernel, |_, kernel| Files { kernel, ..Files::new() }),
        (Part::Initrd, &files.initrd, |_, initrd| Files { initrd, ..Files::new() }),
        (Part::SnpFirmware, &files.snp, |_, snp| Files { snp, ..Files::new() }),
        (Part::TdxFirmware, &files.tdx, |_, tdx| Files { tdx, ..Files::new() }),
    ];
    for (part, file, change) in parts {
        let other = change(&files, flipped(file));
        let (named, got) = (Hex::sha256(file), Hex::sha256(&flipped(file)));
        let refused = MeasureError::PartDigest { part, expected: named, got };
        assert_eq!(expected(&manifest, &other.bytes()), Err(refused.clone()));
        assert_eq!(ImageManifest::build(files.inputs(), &other.bytes()), Err(refused));
        let other = change(&files, longer(file));
        let len = file.len() as u64;
        let refused = MeasureError::PartLength { part, expected: len, got: len + 1 };
        assert_eq!(expected(&manifest, &other.bytes()), Err(refused));
    }
    let bytes = files.bytes();
    let absent = [
        (Part::Initrd, ImageBytes { initrd: None, ..bytes }),
        (Part::SnpFirmware, ImageBytes { snp_firmware: None, ..bytes }),
        (Part::TdxFirmware, ImageBytes { tdx_firmware: None, ..bytes }),
    ];
    for (part, bytes) in absent {
        assert_eq!(expected(&manifest, &bytes), Err(MeasureError::PartPresence { part }));
    }
    let inputs = files.inputs();
    let unnamed = [
        (Part::Initrd, ImageInputs { initrd: None, ..inputs.clone() }),
        (Part::SnpFirmware, ImageInputs { snp: None, ..inputs.clone() }),
        (Part::TdxFirmware, ImageInputs { tdx: None, ..inputs }),
    ];
    for (part, inputs) in unnamed {
        let refused = MeasureError::PartPresence { part };
        assert_eq!(ImageManifest::build(inputs, &files.bytes()), Err(refused));
    }
}

#[test]
fn a_manifest_that_expects_something_else_is_refused() {
    let files = Files::new();
    let good = files.manifest();
    let changed = |change: &dyn Fn(&mut ImageManifest)| {
        let mut other = good.clone();
        change(&mut other);
        expected(&other, &files.bytes())
    };
    let wrong = |what, got| Err(MeasureError::Expected { what, expected: Hex([9; 48]), got });
    let tdx = good.expected.tdx.unwrap();
    let last = good.expected.snp[2].measurement;
    assert_eq!(changed(&|m| m.expected.snp[2].measurement = Hex([9; 48])), wrong("MEASUREMENT", last));
    let with = |edit: fn(&mut tiltyard_attestation::measure::manifest::TdxExpected)| {
        changed(&move |m| m.expected.tdx.iter_mut().for_each(edit))
    };
    assert_eq!(with(|tdx| tdx.mrtd = Hex([9; 48])), wrong("MRTD", tdx.mrtd));
    assert_eq!(with(|tdx| tdx.rtmr1 = Hex([9; 48])), wrong("RTMR1", tdx.rtmr1));
    assert_eq!(with(|tdx| tdx.rtmr2 = Hex([9; 48])), wrong("RTMR2", tdx.rtmr2));
    let rows = |got| Err(MeasureError::ManifestRows { what: "expected", limit: 3, got });
    assert_eq!(changed(&|m| m.expected.snp.truncate(2)), rows(2));
    assert_eq!(changed(&|m| m.expected.snp.push(m.expected.snp[0])), rows(4));
    assert!(changed(&|m| m.expected.snp.swap(0, 1)).is_err());
    let presence = Err(MeasureError::PartPresence { part: Part::TdxFirmware });
    assert_eq!(changed(&|m| m.expected.tdx = None), presence);
}

#[test]
fn rows_are_bounded_and_distinct() {
    let files = Files::new();
    let build = |change: &dyn Fn(&mut ImageInputs)| {
        let mut inputs = files.inputs();
        change(&mut inputs);
        ImageManifest::build(inputs, &files.bytes())
    };
    let twice = Err(MeasureError::ManifestTwice { what: "a shape" });
    assert_eq!(build(&|inputs| inputs.snp.iter_mut().for_each(|snp| snp.shapes.push(snp.shapes[0]))), twice);
    let models: Vec<VcpuModel> = VcpuModel::names().map(|name| name.parse().unwrap()).collect();
    let shapes = |count: usize| -> Vec<Shape> {
        let all = models.iter().flat_map(|model| (1..=512).map(|vcpus| Shape { model: *model, vcpus }));
        all.take(count).collect()
    };
    let too_many = MeasureError::ManifestRows { what: "shapes", limit: SHAPES_MAX, got: SHAPES_MAX + 1 };
    let with = |count| build(&|inputs| inputs.snp.iter_mut().for_each(|snp| snp.shapes = shapes(count)));
    assert_eq!(with(SHAPES_MAX + 1), Err(too_many));
    let events = |count| {
        build(&|inputs| inputs.tdx.iter_mut().for_each(|tdx| tdx.rtmr0_events = vec![Hex([0; 48]); count]))
    };
    let limit = tdx::EVENTS_MAX;
    let too_many = MeasureError::ManifestRows { what: "rtmr0_events", limit, got: limit + 1 };
    assert_eq!(events(limit + 1), Err(too_many));
    assert!(events(limit).is_ok());
    let none = build(&|inputs| inputs.snp.iter_mut().for_each(|snp| snp.shapes.clear())).unwrap();
    assert_eq!(none.expected.snp, []);
}

#[test]
fn an_image_may_lack_an_initrd_or_either_technology() {
    let files = Files::new();
    let inputs = ImageInputs { initrd: None, snp: None, tdx: None, ..files.inputs() };
    let bytes = ImageBytes { kernel: &files.kernel, initrd: None, snp_firmware: None, tdx_firmware: None };
    let manifest = ImageManifest::build(inputs, &bytes).unwrap();
    assert_eq!((manifest.expected.snp.len(), manifest.expected.tdx), (0, None));
    assert_eq!(ImageManifest::from_bytes(&manifest.to_bytes()), Ok(manifest.clone()));
    assert_eq!(expected(&manifest, &bytes), Ok(manifest.expected));
}

#[test]
fn firmware_without_kernel_hashes_makes_no_manifest() {
    let files = Files { snp: ovmf_x64(), ..Files::new() };
    let built = ImageManifest::build(files.inputs(), &files.bytes());
    assert_eq!(built, Err(MeasureError::NoKernelHashes));
}
