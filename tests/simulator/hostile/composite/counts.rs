//! Devices that charter, launch configuration, bus, driver and evidence do not count alike.

use tiltyard_attestation::binding::{DeviceState, Switched};
use tiltyard_attestation::policy::Architecture;
use tiltyard_attestation::{Hex, LaunchConfig, Role};

use super::{Board, CompositeVariant, Draft, address};
use crate::hostile::variant;
use crate::nvidia::device::Device;
use crate::nvidia::draft::DeviceDraft;
use crate::nvidia::firmware::H100_SPT;
use crate::nvidia::sets::enrolled;

pub(super) const VARIANTS: &[CompositeVariant] = &[
    variant!(Board::EightB200; "no-gpu-asked" "G3" Lab Gpu17 TopologyMismatch Signed(|draft| draft.renew(None));
        "the guest asks none of its eight GPUs, though it counted them"),
    variant!(Board::EightB200; "one-gpu-not-asked" "G3" Lab Gpu17 TopologyMismatch
        Signed(|draft| drop(draft.devices.devices.pop()));
        "the guest asks seven of its eight GPUs"),
    variant!(Board::ProtectedPcie; "one-switch-not-asked" "G3" Lab Gpu17 TopologyMismatch
        [Lab Gpu18 TopologyMismatch]
        Signed(|draft| drop(draft.devices.devices.pop()));
        "the guest asks three of its four switches"),
    variant!(Board::EightB200; "one-gpu-hidden-throughout" "G3" Lab Gpu17 TopologyMismatch Signed(hidden_throughout);
        "seven GPUs in configuration, bus, driver and evidence, where the charter wants eight"),
    variant!(Board::EightB200; "charter-wants-seven" "G3" Lab Gpu17 TopologyMismatch
        Signed(|draft| draft.floor().count = 7);
        "a guest with one GPU more than the charter gives it"),
    variant!(Board::OneH100; "two-gpus-for-one" "G3" Lab Gpu17 TopologyMismatch Signed(second_gpu);
        "two genuine, enrolled GPUs, counted alike everywhere but in the charter"),
    variant!(Board::Bare; "no-gpu-at-all" "G3" Lab Gpu17 TopologyMismatch Signed(|draft| draft.launch(evaluator));
        "an evaluator without a GPU anywhere, where the charter wants one"),
    variant!(Board::OneH100; "referee-with-a-gpu" "C5" Lab Gpu17 TopologyMismatch
        Signed(|draft| draft.launch(|config| (config.role, config.order) = (Role::Referee, None)));
        "a referee with a GPU, where the charter wants none"),
    variant!(Board::OneH100; "configuration-names-no-gpu" "G3" Lab Gpu17 TopologyMismatch
        Signed(|draft| draft.launch(|config| config.gpus.clear()));
        "the guest has a GPU that its launch configuration does not name"),
    variant!(Board::EightB200; "configuration-names-nine-gpus" "G3" Lab Gpu17 TopologyMismatch
        Signed(|draft| draft.launch(|config| config.gpus.push(address(8))));
        "the launch configuration names a GPU that nobody in the guest sees"),
    variant!(Board::EightB200; "configuration-names-one-gpu-eight-times" "G4" Lab Gpu17 TopologyMismatch
        Signed(|draft| draft.launch(|config| config.gpus.fill(address(0))));
        "the launch configuration fills its list with one address"),
    variant!(Board::EightB200; "driver-hides-a-gpu" "G3" Lab Gpu17 TopologyMismatch [Lab Gpu13 CcModeOff]
        Signed(|draft| draft.devices.boot.gpus.truncate(7));
        "eight GPUs on the bus and in the evidence, and the driver names seven"),
    variant!(Board::EightB200; "gpu-beside-the-driver" "G3" Lab Gpu17 TopologyMismatch
        Signed(|draft| draft.devices.boot.pci_gpus = 9);
        "a ninth GPU on the bus that the driver does not name"),
    variant!(Board::Bare; "gpu-beside-a-referee" "G3" Lab Gpu17 TopologyMismatch
        Signed(|draft| draft.devices.boot.pci_gpus = 1);
        "a referee finds a GPU on its bus"),
];

fn evaluator(config: &mut LaunchConfig) {
    (config.role, config.order) = (Role::Evaluator, Some(Hex([0x0d; 32])));
}

fn hidden_throughout(draft: &mut Draft) {
    draft.devices.devices.pop();
    draft.devices.boot.gpus.pop();
    draft.devices.boot.pci_gpus -= 1;
    draft.launch(|config| drop(config.gpus.pop()));
}

fn second_gpu(draft: &mut Draft) {
    let second = Device { architecture: Architecture::Hopper, number: 1 };
    let devices = &mut draft.devices;
    let (nonce, opaque) = (devices.expected.nonce, devices.devices[0].report.opaque.clone());
    let second = DeviceDraft::genuine(&devices.keys, second, &H100_SPT, nonce, opaque);
    devices.expected.platforms.extend(enrolled(&second));
    devices.devices.push(second);
    devices.boot.gpus.push(DeviceState { cc_mode: Switched::On, devtools: Switched::Off });
    devices.boot.pci_gpus = 2;
    devices.answer_for_all();
    draft.launch(|config| config.gpus.push(address(1)));
}
