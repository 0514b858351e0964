;; The core module of a policy, written by hand so that it can break every rule.
;;
;; As it stands it is a good policy: it declares two reasons and judges ALIVE for
;; the first one. `guest.rs` puts other code where a line says {so}. Layout of its
;; memory: results from 16, the description from 256, a heap from 4096.
(module
  (import "[export]reprieve:policy/guard@0.1.0" "[resource-new]session"
    (func $new_session (param i32) (result i32)))
  (import "reprieve:policy/probe@0.1.0" "look" (func $look (param i32)))
  (import "reprieve:policy/heartbeat@0.1.0" "newest" (func $newest (param i32)))
  (import "reprieve:policy/restarts@0.1.0" "count" (func $count (param i64 i32)))
  (import "reprieve:policy/memory@0.1.0" "write" (func $write (param i32 i32)))

  (memory (export "memory") {memory})
  (table $table {table} funcref)
  (global $heap (mut i32) (i32.const 4096))
  (global $kept (mut i64) (i64.const 0))
  {fields}

  (data (i32.const 1024) "hostile")
  (data (i32.const 1040) "0.1.0")
  (data (i32.const 1056) "Breaks rules.")
  (data (i32.const 1088) "{}")
  (data (i32.const 1104) "first")
  (data (i32.const 1120) "It is so.")
  (data (i32.const 1136) "second")

  ;; Stores where a text is and how long it is.
  (func $text (param $at i32) (param $where i32) (param $bytes i32)
    (i32.store (local.get $at) (local.get $where))
    (i32.store offset=4 (local.get $at) (local.get $bytes)))

  ;; A judgement or a ruling: case, length of time, reason.
  (func $ruled (param $case i32) (param $millis i64) (param $reason i32) (result i32)
    (i32.store8 (i32.const 16) (local.get $case))
    (i64.store (i32.const 24) (local.get $millis))
    (i32.store16 (i32.const 32) (local.get $reason))
    (i32.const 16))

  ;; Something to overflow a stack with.
  (func $deeper (param i32) (result i32)
    (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))

  (func $describe (export "reprieve:policy/guard@0.1.0#describe") (result i32)
    (call $text (i32.const 256) (i32.const 1024) (i32.const 7))
    (call $text (i32.const 264) (i32.const 1040) (i32.const 5))
    (call $text (i32.const 272) (i32.const 1056) (i32.const 13))
    (call $text (i32.const 280) (i32.const 1088) (i32.const 2))
    (call $text (i32.const 288) (i32.const 320) (i32.const 2))
    (call $text (i32.const 320) (i32.const 1104) (i32.const 5))
    (call $text (i32.const 328) (i32.const 1120) (i32.const 9))
    (call $text (i32.const 336) (i32.const 1136) (i32.const 6))
    (call $text (i32.const 344) (i32.const 1120) (i32.const 9))
    {describe}
    (i32.const 256))

  (func (export "reprieve:policy/guard@0.1.0#[static]session.open")
    (param $settings i32) (param $bytes i32) (result i32)
    {open}
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store (i32.const 68) (call $new_session (i32.const 1)))
    (i32.const 64))

  (func (export "reprieve:policy/guard@0.1.0#[method]session.judge")
    (param $session i32) (param $trigger i32) (param $failure i32) (param $status i32)
    (param $number i32) (param $since i64) (result i32)
    {judge}
    (call $ruled (i32.const 0) (i64.const 0) (i32.const 0)))

  (func (export "reprieve:policy/guard@0.1.0#[method]session.admit")
    (param $session i32) (param $cause i32) (result i32)
    (call $ruled (i32.const 0) (i64.const 0) (i32.const 0)))

  (func (export "reprieve:policy/guard@0.1.0#[method]session.silence-limit")
    (param $session i32) (result i32)
    (i32.store8 (i32.const 96) (i32.const 0))
    (i32.const 96))

  (func (export "reprieve:policy/guard@0.1.0#[dtor]session") (param $session i32)
    {drop})

  (func (export "cabi_realloc")
    (param $old i32) (param $old_bytes i32) (param $align i32) (param $bytes i32) (result i32)
    (local $at i32)
    {realloc}
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get $bytes)))
    ;; Calls are over when the next one begins; what the host put here is read.
    (if (i32.gt_u (global.get $heap) (i32.const 49152))
      (then (global.set $heap (i32.const 4096))))
    (local.get $at))
)
