//! Which guest holds a GPU or switch, and what its renewals rest on.

use tiltyard_attestation::EarlierDevices;
use tiltyard_attestation::policy::PlatformId;
use tiltyard_provisioning::release::End;

use super::*;
use crate::store::devices;

fn device(ueid: u8, is_switch: bool) -> HeldDevice {
    HeldDevice { ueid: PlatformId::new(&[ueid]).unwrap(), device_key: None, is_switch }
}

fn gpus(ueids: &[u8]) -> Vec<HeldDevice> {
    ueids.iter().map(|&ueid| device(ueid, false)).collect()
}

impl Yard {
    fn trainer_with(&self, referee: &Guest, lease: u8, devices: Vec<HeldDevice>) -> (Guest, Signed<Order>) {
        let (mut trainer, order) = self.trainer(referee, lease, &format!("t{lease}"));
        trainer.attested.devices = devices;
        (trainer, order)
    }

    fn grants(&self, (guest, order): &(Guest, Signed<Order>)) -> Result<AttestAnswer, Denial> {
        self.grant(guest, &asks(&[], Some(order)))
    }

    fn earlier(&self, lease: u8) -> Option<EarlierDevices> {
        devices::earlier(self.durable().read(), &Hex([lease; 16])).unwrap()
    }

    /// What an appraisal for `lease` refuses.
    fn fleet(&self, lease: u8, now: u64) -> Vec<PlatformId> {
        devices::of_others(self.durable().read(), &Hex([lease; 16]), now).unwrap()
    }
}

#[test]
fn a_device_belongs_to_one_live_guest() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let first = yard.trainer_with(&referee, 2, gpus(&[7, 8]));
    let second = yard.trainer_with(&referee, 3, gpus(&[9, 8]));
    yard.grants(&first).unwrap();
    assert_eq!(yard.fleet(3, NOW), [PlatformId::new(&[7]).unwrap(), PlatformId::new(&[8]).unwrap()]);
    assert_eq!(yard.fleet(2, NOW), []);

    let leaves = yard.durable_leaves();
    let denial = yard.grants(&second).unwrap_err();
    assert_eq!((denial.code, denial.reason), (Code::PolicyDeny, Some("DuplicateDevice")));
    assert_eq!(denial.detail, "device 08 is held by another guest");
    assert_eq!((yard.durable_leaves(), yard.earlier(3)), (leaves, None), "nothing of it stays");

    // It is free again when its lease ends, by its guest or by time.
    yard.core.end(&Signed::sign(&End::Lease(Hex([2; 16])), &first.0.signing), NOW).unwrap();
    assert_eq!(yard.fleet(3, NOW), []);
    yard.grants(&second).unwrap();
    let (mut third, order) = yard.trainer_with(&referee, 4, gpus(&[8]));
    assert_eq!(code(yard.grant(&third, &asks(&[], Some(&order)))), Some(Code::PolicyDeny));
    third = third.at(NOW + LEASE_S);
    assert_eq!(code(yard.grant(&third, &asks(&[], Some(&order)))), Some(Code::PolicyDeny), "its last second");
    yard.grant(&referee.at(NOW + LEASE_S), &asks(&[], None)).unwrap();
    yard.grant(&third.at(NOW + LEASE_S + 1), &asks(&[], Some(&order))).unwrap();
}

#[test]
fn of_two_guests_that_show_one_device_at_once_one_is_refused() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let guests = [2, 3, 4, 5].map(|lease| yard.trainer_with(&referee, lease, gpus(&[7])));
    let granted = std::thread::scope(|scope| {
        let asked = guests.each_ref().map(|guest| scope.spawn(|| yard.grants(guest).is_ok()));
        asked.into_iter().filter_map(|asked| asked.join().ok()).filter(|&granted| granted).count()
    });
    assert_eq!(granted, 1);
}

#[test]
fn a_renewal_without_devices_leaves_the_time_of_their_appraisal() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let switch = device(20, true);
    let (mut trainer, order) = yard.trainer_with(&referee, 2, [gpus(&[7, 8]), vec![switch]].concat());
    let asks = asks(&[], Some(&order));
    assert_eq!(yard.earlier(2), None, "nothing to rest on yet");
    yard.grant(&trainer, &asks).unwrap();
    let at = |appraised_at| {
        Some(EarlierDevices { boot: trainer.attested.boot, appraised_at, gpus: 2, switches: 1 })
    };
    let (first, later) = (at(NOW), at(NOW + 200));
    assert_eq!(yard.earlier(2), first);

    let full = std::mem::take(&mut trainer.attested.devices);
    trainer = trainer.at(NOW + 100);
    yard.grant(&trainer, &asks).unwrap();
    assert_eq!(yard.earlier(2), first, "the CPU alone was appraised");
    assert_eq!(yard.fleet(3, NOW + 100).len(), 3, "and its devices stay its own");

    // In another order, the same devices.
    trainer.attested.devices = full.into_iter().rev().collect();
    trainer = trainer.at(NOW + 200);
    yard.grant(&trainer, &asks).unwrap();
    assert_eq!(yard.earlier(2), later);
}

#[test]
fn a_lease_keeps_its_devices() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let (mut trainer, order) = yard.trainer_with(&referee, 2, gpus(&[7, 8]));
    yard.grant(&trainer, &asks(&[], Some(&order))).unwrap();
    for others in [gpus(&[7]), gpus(&[7, 9]), gpus(&[7, 8, 9]), vec![device(7, false), device(8, true)]] {
        trainer.attested.devices = others;
        let denial = yard.grant(&trainer, &asks(&[], Some(&order))).unwrap_err();
        assert_eq!(denial.code, Code::LeaseHeld);
        assert_eq!(denial.detail, format!("lease {} holds other devices", Hex([2; 16])));
    }
    assert_eq!(yard.fleet(3, NOW).len(), 2, "nothing of the refused ones stays");
}

#[test]
fn a_guest_without_devices_has_nothing_to_rest_on() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    yard.grant(&referee, &asks(&[], None)).unwrap();
    assert_eq!((yard.earlier(1), yard.fleet(2, NOW)), (None, vec![]));
}

#[test]
fn a_device_is_known_by_its_key_after_a_change_of_firmware() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let with_key = |ueid, key| HeldDevice { device_key: Some(Hex([key; 32])), ..device(ueid, false) };
    yard.grants(&yard.trainer_with(&referee, 2, vec![with_key(7, 0xaa)])).unwrap();
    assert_eq!(yard.fleet(3, NOW), [PlatformId::new(&[7]).unwrap(), Hex([0xaa; 32]).into()]);
    let denial = yard.grants(&yard.trainer_with(&referee, 3, vec![with_key(9, 0xaa)])).unwrap_err();
    assert_eq!((denial.code, denial.reason), (Code::PolicyDeny, Some("DuplicateDevice")));
    yard.grants(&yard.trainer_with(&referee, 4, vec![with_key(9, 0xbb)])).unwrap();
}

#[test]
fn the_newest_collateral_that_was_accepted_is_remembered_and_never_an_older_one() {
    let yard = Yard::new();
    let referee = yard.referee(1);
    let accepted = || crate::store::tcb_evaluation(yard.durable().read()).unwrap();
    assert_eq!(accepted(), 0);
    for (lease, number, highest) in [(2, Some(18), 18), (3, Some(20), 20), (4, Some(19), 20), (5, None, 20)] {
        let (mut guest, order) = yard.trainer_with(&referee, lease, vec![]);
        guest.attested.tcb_evaluation = number;
        yard.grants(&(guest, order)).unwrap();
        assert_eq!(accepted(), highest);
    }
}
