package engine_test

// transitions is the table of TestBankTransitions. Below each state, a line a step: the phase
// after it, the answer (with the charge, "again" when it is repeated from memory), the record
// with what it moved on the bank's account, and what became of the due entry (= nothing).
const transitions = `
unknown
  begin: pending | - | - | on
  other: pending | - | - | on
  reversal: reversed | no original_unknown | - | =
  redirect: none | no original_unknown | - | =
  approve: none | no original_unknown | - | =
  decline: none | no original_unknown | - | =
  doubt: none | no original_unknown | - | =
  accept: none | no original_unknown | - | =
  accept without: none | no original_unknown | - | =
  again: none | no original_unknown | - | =
  done: none | no original_unknown | - | =
  give up: none | no original_unknown | - | =
  retry: none | no original_unknown | - | =
  close: none | no original_unknown | - | =
tombstone
  begin: reversed | no original_reversed | - | =
  other: reversed | no original_reversed | - | =
  reversal: reversed | no original_unknown | - | =
  redirect: reversed | no original_unknown | - | =
  approve: reversed | no original_unknown | - | =
  decline: reversed | no original_unknown | - | =
  doubt: reversed | no original_unknown | - | =
  accept: reversed | no original_unknown | - | =
  accept without: reversed | no original_unknown | - | =
  again: reversed | no original_unknown | - | =
  done: reversed | no original_unknown | - | =
  give up: reversed | no original_unknown | - | =
  retry: reversed | no original_unknown | - | =
  close: reversed | no original_unknown | - | =
pending
  begin: pending | - again | - | =
  other: pending | no request_id_reused | - | =
  reversal: reversing | yes 0 | bank_purchase declined 0 original_reversed | moved
  redirect: pending | - | - | moved
  approve: approved | yes 100 | bank_purchase approved -100 | off
  decline: declined | no issuer_declined | bank_purchase declined 0 | off
  doubt: reversing | no issuer_timeout | bank_purchase declined 0 | moved
  accept: advising | yes 100 | bank_purchase approved -100 | moved
  accept without: declined | no issuer_unavailable | bank_purchase declined 0 | off
  again: pending | - | - | =
  done: pending | - | - | =
  give up: pending | - | - | =
  retry: pending | - | - | =
  close: pending | - | - | =
pending refund
  begin: pending | - again | - | =
  other: pending | no request_id_reused | - | =
  reversal: reversing | yes 0 | bank_refund declined 0 original_reversed | moved
  redirect: pending | - | - | moved
  approve: approved | yes -60 | bank_refund approved 60 | off
  decline: declined | no issuer_declined | bank_refund declined 0 | off
  doubt: advising | - | - | moved
  accept: advising | yes -60 | bank_refund approved 60 | moved
  accept without: declined | no issuer_unavailable | bank_refund declined 0 | off
  again: pending | - | - | =
  done: pending | - | - | =
  give up: pending | - | - | =
  retry: pending | - | - | =
  close: pending | - | - | =
approved
  begin: approved | yes 100 again | - | =
  other: approved | no request_id_reused | - | =
  reversal: reversing | yes -100 | bank_reversal approved 100 | on
  redirect: approved | yes 100 | - | =
  approve: approved | yes 100 | - | =
  decline: approved | yes 100 | - | =
  doubt: approved | yes 100 | - | =
  accept: approved | yes 100 | - | =
  accept without: approved | yes 100 | - | =
  again: approved | yes 100 | - | =
  done: approved | yes 100 | - | =
  give up: approved | yes 100 | - | =
  retry: approved | yes 100 | - | =
  close: approved | yes 100 | - | =
approved void
  begin: approved | yes -100 again | - | =
  other: approved | no request_id_reused | - | =
  reversal: reversing | yes 100 | bank_reversal approved -100 | on
  redirect: approved | yes -100 | - | =
  approve: approved | yes -100 | - | =
  decline: approved | yes -100 | - | =
  doubt: approved | yes -100 | - | =
  accept: approved | yes -100 | - | =
  accept without: approved | yes -100 | - | =
  again: approved | yes -100 | - | =
  done: approved | yes -100 | - | =
  give up: approved | yes -100 | - | =
  retry: approved | yes -100 | - | =
  close: approved | yes -100 | - | =
declined
  begin: declined | no issuer_declined again | - | =
  other: declined | no request_id_reused | - | =
  reversal: declined | yes 0 again | - | =
  redirect: declined | no issuer_declined | - | =
  approve: declined | no issuer_declined | - | =
  decline: declined | no issuer_declined | - | =
  doubt: declined | no issuer_declined | - | =
  accept: declined | no issuer_declined | - | =
  accept without: declined | no issuer_declined | - | =
  again: declined | no issuer_declined | - | =
  done: declined | no issuer_declined | - | =
  give up: declined | no issuer_declined | - | =
  retry: declined | no issuer_declined | - | =
  close: declined | no issuer_declined | - | =
reversing in doubt
  begin: reversing | no issuer_timeout again | - | =
  other: reversing | no request_id_reused | - | =
  reversal: reversing | yes 0 again | - | =
  redirect: reversing | no issuer_timeout | - | =
  approve: reversing | no issuer_timeout | - | =
  decline: reversing | no issuer_timeout | - | =
  doubt: reversing | no issuer_timeout | - | =
  accept: reversing | no issuer_timeout | - | =
  accept without: reversing | no issuer_timeout | - | =
  again: reversing | no issuer_timeout | - | moved
  done: reversed | no issuer_timeout | - | off
  give up: dead | no issuer_timeout | - | off
  retry: reversing | no issuer_timeout | - | =
  close: reversing | no issuer_timeout | - | =
reversing approved
  begin: reversing | no original_reversed again | - | =
  other: reversing | no request_id_reused | - | =
  reversal: reversing | yes 0 again | - | =
  redirect: reversing | no original_reversed | - | =
  approve: reversing | no original_reversed | - | =
  decline: reversing | no original_reversed | - | =
  doubt: reversing | no original_reversed | - | =
  accept: reversing | no original_reversed | - | =
  accept without: reversing | no original_reversed | - | =
  again: reversing | no original_reversed | - | moved
  done: reversed | no original_reversed | - | off
  give up: dead | no original_reversed | - | off
  retry: reversing | no original_reversed | - | =
  close: reversing | no original_reversed | - | =
reversed
  begin: reversed | no issuer_timeout again | - | =
  other: reversed | no request_id_reused | - | =
  reversal: reversed | yes 0 again | - | =
  redirect: reversed | no issuer_timeout | - | =
  approve: reversed | no issuer_timeout | - | =
  decline: reversed | no issuer_timeout | - | =
  doubt: reversed | no issuer_timeout | - | =
  accept: reversed | no issuer_timeout | - | =
  accept without: reversed | no issuer_timeout | - | =
  again: reversed | no issuer_timeout | - | =
  done: reversed | no issuer_timeout | - | =
  give up: reversed | no issuer_timeout | - | =
  retry: reversed | no issuer_timeout | - | =
  close: reversed | no issuer_timeout | - | =
advising
  begin: advising | yes 100 again | - | =
  other: advising | no request_id_reused | - | =
  reversal: reversing | yes -100 | bank_reversal approved 100 | moved
  redirect: advising | yes 100 | - | =
  approve: approved | yes 100 | - | off
  decline: dead | yes 100 | bank_adjustment approved 100 | off
  doubt: advising | yes 100 | - | =
  accept: advising | yes 100 | - | =
  accept without: advising | yes 100 | - | =
  again: advising | yes 100 | - | moved
  done: advising | yes 100 | - | =
  give up: dead | yes 100 | - | off
  retry: advising | yes 100 | - | =
  close: advising | yes 100 | - | =
advising refund
  begin: advising | - again | - | =
  other: advising | no request_id_reused | - | =
  reversal: reversing | yes 0 | bank_refund declined 0 original_reversed | moved
  redirect: advising | - | - | =
  approve: approved | yes -60 | bank_refund approved 60 | off
  decline: declined | no issuer_declined | bank_refund declined 0 | off
  doubt: advising | - | - | =
  accept: advising | - | - | =
  accept without: advising | - | - | =
  again: advising | - | - | moved
  done: advising | - | - | =
  give up: dead | no issuer_declined | - | off
  retry: advising | - | - | =
  close: advising | - | - | =
dead advice
  begin: dead | yes 100 again | - | =
  other: dead | no request_id_reused | - | =
  reversal: dead | no original_not_refundable | - | =
  redirect: dead | yes 100 | - | =
  approve: dead | yes 100 | - | =
  decline: dead | yes 100 | - | =
  doubt: dead | yes 100 | - | =
  accept: dead | yes 100 | - | =
  accept without: dead | yes 100 | - | =
  again: dead | yes 100 | - | =
  done: dead | yes 100 | - | =
  give up: dead | yes 100 | - | =
  retry: advising | yes 100 | - | on
  close: approved | yes 100 | - | =
retried advice
  begin: advising | yes 100 again | - | =
  other: advising | no request_id_reused | - | =
  reversal: advising | no original_not_refundable | - | =
  redirect: advising | yes 100 | - | =
  approve: approved | yes 100 | bank_adjustment approved -100 | off
  decline: dead | yes 100 | - | off
  doubt: advising | yes 100 | - | =
  accept: advising | yes 100 | - | =
  accept without: advising | yes 100 | - | =
  again: advising | yes 100 | - | moved
  done: advising | yes 100 | - | =
  give up: dead | yes 100 | - | off
  retry: advising | yes 100 | - | =
  close: advising | yes 100 | - | =
dead reversal
  begin: dead | no issuer_timeout again | - | =
  other: dead | no request_id_reused | - | =
  reversal: dead | yes 0 again | - | =
  redirect: dead | no issuer_timeout | - | =
  approve: dead | no issuer_timeout | - | =
  decline: dead | no issuer_timeout | - | =
  doubt: dead | no issuer_timeout | - | =
  accept: dead | no issuer_timeout | - | =
  accept without: dead | no issuer_timeout | - | =
  again: dead | no issuer_timeout | - | =
  done: dead | no issuer_timeout | - | =
  give up: dead | no issuer_timeout | - | =
  retry: reversing | no issuer_timeout | - | on
  close: reversed | no issuer_timeout | - | =
dead refund
  begin: dead | no issuer_declined again | - | =
  other: dead | no request_id_reused | - | =
  reversal: dead | no original_not_refundable | - | =
  redirect: dead | no issuer_declined | - | =
  approve: dead | no issuer_declined | - | =
  decline: dead | no issuer_declined | - | =
  doubt: dead | no issuer_declined | - | =
  accept: dead | no issuer_declined | - | =
  accept without: dead | no issuer_declined | - | =
  again: dead | no issuer_declined | - | =
  done: dead | no issuer_declined | - | =
  give up: dead | no issuer_declined | - | =
  retry: advising | - | - | on
  close: declined | no issuer_declined | bank_refund declined 0 | =
`
