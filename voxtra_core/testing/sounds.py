"""How long Asterisk's prompts are."""

from __future__ import annotations

from typing import Final

__all__ = ["SOUNDS", "SPOKEN_CHARACTER"]

_TABLE = """
activated 1.08  added 0.74  agent-alreadyon 5.52  agent-incorrect 5.16  agent-loggedoff 1.46  agent-loginok 1.76
agent-newlocation 3.30  agent-pass 3.30  agent-user 4.92  all-circuits-busy-now 1.82  ascending-2tone 0.20
astcc-followed-by-the-pound-key 1.52  at-tone-time-exactly 3.54  auth-incorrect 4.62  auth-thankyou 0.96
basic-pbx-ivr-main 25.40  beep 0.44  beeperr 0.36  call-forwarding 1.54  call-fwd-no-ans 2.64  call-fwd-on-busy 1.92
call-fwd-unconditional 2.34  call-waiting 1.10  calling 0.76  cancelled 0.98  cannot-complete-as-dialed 2.66
check-number-dial-again 2.22  conf-adminmenu 19.22  conf-adminmenu-162 20.98  conf-adminmenu-18 21.70
conf-adminmenu-menu8 17.34  conf-enteringno 2.36  conf-errormenu 1.44  conf-extended 2.08  conf-full 1.68
conf-getchannel 3.14  conf-getconfno 3.42  conf-getpin 2.40  conf-hasjoin 1.78  conf-hasleft 1.78  conf-invalid 3.88
conf-invalidpin 2.66  conf-kicked 2.38  conf-leaderhasleft 2.28  conf-locked 1.76  conf-lockednow 1.78
conf-muted 1.40  conf-noempty 2.78  conf-nonextended 2.18  conf-now-muted 1.88  conf-now-recording 2.32
conf-now-unmuted 2.12  conf-onlyone 3.26  conf-onlyperson 3.16  conf-otherinparty 2.16  conf-placeintoconf 2.40
conf-roll-callcomplete 3.26  conf-thereare 1.38  conf-unlockednow 1.90  conf-unmuted 1.50  conf-usermenu 14.04
conf-usermenu-162 18.60  conf-userswilljoin 2.32  conf-userwilljoin 2.24  conf-waitforleader 2.84
confbridge-begin-glorious-a 3.58  confbridge-begin-glorious-b 3.98  confbridge-begin-glorious-c 3.98
confbridge-begin-leader 3.02  confbridge-binaural-off 2.66  confbridge-binaural-on 2.26  confbridge-conf-begin 1.84
confbridge-conf-end 1.70  confbridge-dec-list-vol-in 3.50  confbridge-dec-list-vol-out 3.60
confbridge-dec-talk-vol-in 3.68  confbridge-dec-talk-vol-out 3.36  confbridge-has-joined 1.70
confbridge-has-left 1.70  confbridge-inc-list-vol-in 3.78  confbridge-inc-list-vol-out 3.80
confbridge-inc-talk-vol-in 3.36  confbridge-inc-talk-vol-out 3.70  confbridge-invalid 2.52  confbridge-join 0.38
confbridge-leave 0.38  confbridge-leave-in 1.48  confbridge-leave-out 1.52  confbridge-lock-extended 6.92
confbridge-lock-in 2.42  confbridge-lock-no-join 3.34  confbridge-lock-out 2.42  confbridge-locked 1.74
confbridge-menu-exit-in 1.50  confbridge-menu-exit-out 1.54  confbridge-mute-extended 11.16  confbridge-mute-in 2.16
confbridge-mute-out 2.16  confbridge-muted 1.38  confbridge-only-one 3.42  confbridge-only-participant 3.24
confbridge-participants 1.90  confbridge-pin 5.14  confbridge-pin-bad 4.74  confbridge-remove-last-in 3.92
confbridge-remove-last-out 3.82  confbridge-removed 2.44  confbridge-rest-list-vol-in 4.16
confbridge-rest-list-vol-out 4.26  confbridge-rest-talk-vol-in 3.52  confbridge-rest-talk-vol-out 3.30
confbridge-there-are 1.30  confbridge-unlocked 2.08  confbridge-unmuted 1.66  de-activated 1.54
demo-abouttotry 15.18  demo-congrats 30.28  demo-echodone 2.68  demo-echotest 22.00  demo-enterkeywords 6.66
demo-instruct 73.36  demo-moreinfo 14.74  demo-nogo 10.52  demo-nomatch 3.66  demo-thanks 5.52
descending-2tone 0.20  dictate/both_help 5.88  dictate/enter_filename 6.00  dictate/forhelp 1.72  dictate/pause 1.00
dictate/paused 0.94  dictate/play_help 10.20  dictate/playback 1.08  dictate/playback_mode 1.40  dictate/record 1.14
dictate/record_help 6.20  dictate/record_mode 1.46  dictate/truncating_audio 1.54  digits/0 0.88  digits/1 0.92
digits/10 0.66  digits/11 0.98  digits/12 0.82  digits/13 0.94  digits/14 1.06  digits/15 1.16  digits/16 1.20
digits/17 1.22  digits/18 1.10  digits/19 1.24  digits/2 0.76  digits/20 0.94  digits/3 0.84  digits/30 0.92
digits/4 0.82  digits/40 0.96  digits/5 0.84  digits/50 1.24  digits/6 0.90  digits/60 1.04  digits/7 0.84
digits/70 1.04  digits/8 0.70  digits/80 0.84  digits/9 0.86  digits/90 1.04  digits/a-m 1.04  digits/at 0.70
digits/billion 1.02  digits/day-0 1.04  digits/day-1 0.92  digits/day-2 0.92  digits/day-3 1.04  digits/day-4 0.92
digits/day-5 0.96  digits/day-6 0.96  digits/dollars 0.92  digits/h-1 0.74  digits/h-10 0.64  digits/h-11 0.80
digits/h-12 0.70  digits/h-13 1.04  digits/h-14 0.98  digits/h-15 1.00  digits/h-16 1.02  digits/h-17 1.06
digits/h-18 1.04  digits/h-19 1.14  digits/h-2 0.86  digits/h-20 0.92  digits/h-3 0.68  digits/h-30 0.80
digits/h-4 0.80  digits/h-40 0.98  digits/h-5 0.72  digits/h-50 1.00  digits/h-6 0.76  digits/h-60 1.00
digits/h-7 0.88  digits/h-70 1.00  digits/h-8 0.66  digits/h-80 0.82  digits/h-9 0.82  digits/h-90 1.20
digits/h-billion 0.92  digits/h-hundred 0.90  digits/h-million 0.96  digits/h-thousand 0.98  digits/hundred 0.86
digits/million 0.86  digits/minus 0.90  digits/mon-0 1.02  digits/mon-1 1.02  digits/mon-10 1.00  digits/mon-11 1.04
digits/mon-2 0.84  digits/mon-3 0.78  digits/mon-4 0.70  digits/mon-5 0.82  digits/mon-6 0.84  digits/mon-7 0.78
digits/mon-8 1.02  digits/mon-9 1.00  digits/oclock 0.88  digits/oh 0.60  digits/p-m 0.88  digits/pound 0.76
digits/star 0.82  digits/thousand 0.90  digits/today 0.72  digits/tomorrow 0.94  digits/yesterday 1.02
dir-first 2.82  dir-firstlast 3.18  dir-instr 6.60  dir-intro 12.16  dir-intro-fn 12.20  dir-last 2.42
dir-multi1 0.78  dir-multi2 0.72  dir-multi3 1.00  dir-multi9 2.04  dir-nomatch 2.70  dir-nomore 3.14
dir-pls-enter 1.34  dir-usingkeypad 5.96  dir-welcome 1.80  disabled 1.06  do-not-disturb 1.38  enabled 0.94
enter-num-blacklist 2.40  entr-num-rmv-blklist 3.10  extension 1.20  feature-not-avail-line 3.18
followme/call-from 1.66  followme/no-recording 1.78  followme/options 3.58  followme/pls-hold-while-try 3.26
followme/sorry 3.94  followme/status 4.64  for 0.82  from-unknown-caller 1.66  goodbye 0.94  hello 0.80
hello-world 1.42  hours 0.88  if-correct-press 1.98  im-sorry 1.04  info-about-last-call 2.14  invalid 4.12  is 0.62
is-in-use 1.20  is-set-to 1.32  letters/a 0.62  letters/ascii123 1.22  letters/ascii124 0.72  letters/ascii125 1.16
letters/ascii126 0.78  letters/ascii34 0.76  letters/ascii36 1.30  letters/ascii37 0.86  letters/ascii38 1.04
letters/ascii39 0.68  letters/ascii40 1.42  letters/ascii41 1.58  letters/ascii42 0.84  letters/ascii44 0.70
letters/ascii58 0.90  letters/ascii59 1.28  letters/ascii60 1.08  letters/ascii62 1.24  letters/ascii63 1.08
letters/ascii91 1.24  letters/ascii92 1.24  letters/ascii93 1.26  letters/ascii94 0.78  letters/ascii95 1.02
letters/ascii96 1.08  letters/asterisk 1.14  letters/at 0.62  letters/b 0.76  letters/c 0.88  letters/d 0.72
letters/dash 0.78  letters/dollar 0.86  letters/dot 0.76  letters/e 0.68  letters/equals 0.88
letters/exclaimation-point 1.54  letters/f 0.60  letters/g 0.70  letters/h 0.66  letters/i 0.68  letters/j 0.76
letters/k 0.72  letters/l 0.60  letters/m 0.62  letters/n 0.62  letters/o 0.66  letters/p 0.66  letters/plus 0.72
letters/q 0.76  letters/r 0.74  letters/s 0.62  letters/slash 0.88  letters/space 0.82  letters/t 0.68
letters/u 0.80  letters/v 0.78  letters/w 0.92  letters/x 0.66  letters/y 0.76  letters/z 0.82  letters/zed 0.82
location 1.20  lowercase 1.16  minute 0.68  minutes 0.90  num-was-successfully 1.96  number 0.92
number-not-answering 1.66  one-moment-please 1.60  pbx-invalid 4.44  pbx-invalidpark 4.96  pbx-parkingfailed 1.72
pbx-transfer 0.96  phonetic/9_p 0.90  phonetic/a_p 0.92  phonetic/b_p 0.88  phonetic/c_p 0.86  phonetic/d_p 0.92
phonetic/e_p 0.78  phonetic/f_p 0.98  phonetic/g_p 0.74  phonetic/h_p 0.88  phonetic/i_p 0.76  phonetic/j_p 0.94
phonetic/k_p 0.86  phonetic/l_p 0.80  phonetic/m_p 0.72  phonetic/n_p 1.02  phonetic/o_p 0.84  phonetic/p_p 0.78
phonetic/q_p 0.82  phonetic/r_p 0.92  phonetic/s_p 0.94  phonetic/t_p 0.90  phonetic/u_p 1.08  phonetic/v_p 0.96
phonetic/w_p 0.98  phonetic/x_p 1.00  phonetic/y_p 0.98  phonetic/z_p 0.92  please-try-again 1.26
please-try-call-later 2.18  pls-hold-while-try 2.44  pm-invalid-option 3.22  priv-callee-options 31.14
priv-callpending 3.92  priv-introsaved 4.18  priv-recordintro 2.28  privacy-incorrect 2.66  privacy-prompt 3.52
privacy-thankyou 0.96  privacy-to-blacklist-last-caller 1.78  privacy-unident 4.46  queue-callswaiting 2.48
queue-holdtime 2.80  queue-less-than 1.06  queue-minute 0.84  queue-minutes 0.88  queue-periodic-announce 7.84
queue-quantity1 2.14  queue-quantity2 2.66  queue-reporthold 1.10  queue-seconds 1.12  queue-thankyou 1.60
queue-thereare 2.26  queue-youarenext 5.38  removed 0.88  screen-callee-options 17.96  second 0.76  seconds 1.12
silence/1 1.00  silence/10 10.00  silence/2 2.00  silence/3 3.00  silence/4 4.00  silence/5 5.00  silence/6 6.00
silence/7 7.00  silence/8 8.00  silence/9 9.00  simul-call-limit-reached 2.38  something-terribly-wrong 2.72
sorry 1.24  sorry-youre-having-problems 2.00  speed-dial 1.26  speed-dial-empty 3.24  spy-agent 0.94
spy-console 1.14  spy-dahdi 1.12  spy-h323 2.00  spy-iax 0.82  spy-iax2 0.76  spy-jingle 1.04  spy-local 1.08
spy-mgcp 1.70  spy-misdn 1.70  spy-mobile 1.62  spy-nbs 1.10  spy-sip 0.68  spy-skinny 1.00  spy-unistim 1.24
spy-usbradio 1.70  spy-zap 0.88  ss-noservice 4.94  telephone-number 1.40  time 0.86  to-call-this-number 1.54
to-extension 1.36  to-listen-to-it 1.22  to-rerecord-it 1.34  transfer 2.40  tt-allbusy 8.98  tt-monkeys 16.18
tt-monkeysintro 2.70  tt-somethingwrong 2.58  tt-weasels 2.96  unidentified-no-callback 4.60  uppercase 1.18
vm-Cust1 1.18  vm-Cust2 1.10  vm-Cust3 1.28  vm-Cust4 1.08  vm-Cust5 1.18  vm-Family 0.84  vm-Friends 0.86
vm-INBOX 0.84  vm-Old 0.88  vm-Urgent 0.80  vm-Work 0.64  vm-advopts 2.48  vm-and 0.68  vm-calldiffnum 2.52
vm-changeto 1.74  vm-delete 2.30  vm-deleted 1.40  vm-dialout 2.18  vm-duration 1.74  vm-enter-num-to-call 2.04
vm-extension 1.10  vm-first 0.76  vm-for 0.78  vm-forward 4.92  vm-forward-multiple 4.54  vm-forwardoptions 5.94
vm-from 0.74  vm-from-extension 1.88  vm-from-phonenumber 1.86  vm-goodbye 0.88  vm-helpexit 3.14  vm-incorrect 1.46
vm-incorrect-mailbox 2.56  vm-instructions 7.28  vm-intro 5.66  vm-invalid-password 5.68  vm-invalidpassword 3.42
vm-isonphone 1.46  vm-isunavail 1.26  vm-last 0.86  vm-leavemsg 2.08  vm-login 2.56  vm-mailboxfull 4.16
vm-marked-nonurgent 1.82  vm-marked-urgent 1.88  vm-message 0.94  vm-messages 1.08  vm-minutes 0.94
vm-mismatch 4.74  vm-msgforwarded 3.06  vm-msginstruct 14.64  vm-msgsaved 2.18  vm-newpassword 3.70  vm-newuser 6.08
vm-next 2.96  vm-no 0.88  vm-nobodyavail 2.80  vm-nobox 5.18  vm-nomore 1.68  vm-nonumber 3.00  vm-num-i-have 1.90
vm-onefor 1.48  vm-onefor-full 2.02  vm-options 16.38  vm-opts 7.58  vm-opts-full 11.16  vm-passchanged 2.38
vm-password 1.10  vm-pls-try-again 1.64  vm-press 0.74  vm-prev 2.80  vm-reachoper 2.14  vm-rec-busy 4.76
vm-rec-name 4.30  vm-rec-temp 5.50  vm-rec-unv 5.46  vm-received 1.18  vm-record-prepend 7.16
vm-reenterpassword 3.68  vm-repeat 2.90  vm-review 7.76  vm-review-nonurgent 3.84  vm-review-urgent 3.26
vm-saved 1.02  vm-savedto 1.28  vm-savefolder 2.88  vm-savemessage 2.72  vm-saveoper 5.22  vm-sorry 3.08
vm-star-cancel 1.86  vm-starmain 2.82  vm-tempgreetactive 3.00  vm-tempgreeting 3.26  vm-tempgreeting2 6.44
vm-tempremoved 2.90  vm-then-pound 1.82  vm-theperson 2.04  vm-tmpexists 4.86  vm-tocallback 3.72  vm-tocallnum 2.60
vm-tocancel 2.02  vm-tocancelmsg 2.66  vm-toenternumber 2.54  vm-toforward 3.34  vm-tohearenv 2.88
vm-tomakecall 2.90  vm-tooshort 1.80  vm-toreply 2.20  vm-torerecord 2.86  vm-undelete 2.94  vm-undeleted 1.72
vm-unknown-caller 1.62  vm-whichbox 3.20  vm-youhave 0.92  with 0.70  you-entered 0.98  your 0.64
"""

SOUNDS: Final[dict[str, float]] = {
    name: float(seconds) for name, seconds in zip(*[iter(_TABLE.split())] * 2, strict=True)
}
"""Seconds of each of Asterisk's core sounds, by name, without ``sound:``.

From the English GSM files of Debian's ``asterisk-core-sounds-en-gsm``, where 33 bytes are 20 ms. The time between
``PlaybackStarted`` and ``PlaybackFinished`` on a real 22.10.1 agrees to 5 ms.
"""

SPOKEN_CHARACTER: Final = 0.84
"""Seconds for a character of ``digits:``, ``number:`` or ``characters:``: the mean of ``digits/0`` to ``digits/9``."""
