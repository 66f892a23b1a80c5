"""HEIC files of a few hundred bytes, made once by hand: no lock holds an encoder.

pillow-heif 1.4.0 (x265) encoded them, quality 90 (`DEEP`: 20, chroma 444, 16 bits given). The
grids were put together from four such files of one colour each: their ``hvcC``, and a ``meta`` box
with a ``grid`` item over the four.
"""

import base64
import struct


def _file(text: str) -> bytes:
    return base64.b85decode("".join(text.split()))


PLAIN = _file(
    r"""
0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<00040ZDn*}000000000XXk=`10000000000aA{+700000000000000000000B
57=IV*mgE07O6l0RRC200001cmM$a00000002V(001LtX>Mi!000000RR916=`l}WdZ;I000310BCk&F#rGn01j|zbZr0t00
0010002gX>f9I0002BX>en20001ZXm(>m0RwOV00000000009`FGC{rLC*01pFT0096PKmiN^|NjGU00093kN^M!000939=Z
ZRVE_RDD?$MQ18@KU0|1Z!00RI30{|YNAb|yz>PacCZUPz%2mk;B0LTCU0{{p>VgLaE2SfqEa<C#m0000JV{dG7ZewhC0096
E00w{n000zeb8uw<00000002M$002M$000hfX?SS>000012mk;87in;9VE_OC000000RRC6fdT^r0000>ZDe6|0000#C;_hq
I9mMuH~F3K|NqMM-iQ0xIBX?<mo8ub(|f=F_yoMMnEp8m5x=HbZ~yW3D=k6%(kCK*lJZ@CxD`+
"""
)
"""The four colours in four corners, 64 x 64."""

TURNED_BY_EXIF = _file(
    r"""
0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<0005JZDn*}000000000XXk=`10000000000aA{+700000000000000000000G
-+&aV*mgE07O6l0ssL300001-~a&t0000000Axl0ssI200RyH0RR9100000Bme*aIB98aW&i*H00062000$fZf0cy000000R
RAKc4ILB0000LX>Mj^0ssI300IC2MR;ju000004sdC7Z2$lO00031008@GaB^?}007%*aAR)(004Gqc4I>U18@KU00000000
0U@BsY%`1k+-4+CHT0RR|40Sp2E{{wIU00RJ!0009300RIXx&lC90096hLID8-Z~y=U0FVFx0{{R603M(qfd!W8<fgf}2xu@
M00096AOHXZ03l)k0RRR>0l{;?i2wiq6Ju{|a&BX6cmM$a4FCp!0000KX>)L8000000000$0000$0000eV{Bn?0000$00001
0000m000010000000002|NsB+000020000EaA|mH000000SEv902pa-ZD9Za00000009621%Uzs1%v<q02*m>Wo7^X000000
1jhhb7KGk0096200046ZDe6|0003hC;_hqI9m6%-^}2D|M^;Pq5bQMiP2l}rDJNZxdJ!ez~_JeteB5@55I{{h@qS-P_IXjPx
giHZod%Rj;yb`Qv?o+H+QjIauDCqCG_b?jB!7CV6<Zkf4u~#2Xxy6*H(aaMQ}KC^Bed5_y5u;5C63B9sI%>Ctu$LY(C1!vF?
$Jm*Sj-{%D#%;qSH~m-*fd2j!2V?H-5v6QTR!AQ=kk#kIgDI;ypw6TW<luqJ`;Y)@QLgG{uuOxBD^mlFG;IyrHhg5{UZrsXZ
Hd@|}En15bzcM{LApYq=j4F;6;)oZMu^may%vII+C-I?VYZ7&#&&px9hTH5W|$Fi^sEbQtG0@q0a<v=F=6BXBL_l8(s^uF`$
gXq^m^M)GKRQ?!Zyg&c|00u>PX=VTbO-%qQ000080099K00RI30096700000000
"""
)
"""64 x 48; Exif says to turn it, the container does not."""

TURNED_GRID = _file(
    r"""
0000OW^{RQXk}?*00000ZE0pPXk}?*0006cZDn*}000000000XXk=`10000000000aA{+7000000000000000000004sdC7Z
2$lO00031003ZVY;R)$0000)000F50RRC20003100000000O80ssI20003100Kk+0018V0{{R30003100LtG0018V1ONa400
03100M#l0018V1poj50003100N-^000&M004JsX>Mi!000001poj56=`l}WdZ;I000310B3S(WB>pF02OI&W@Q2Z00963003
xqV=({#000$fZf0cy000310{{SMc4ILB0000LX>Mj^0ssI300aO4Xm(>U000006=`l}WdZ;I0RRO60BCk&F#rGn03c~{Wo7^
X0000002E|tZD#-h00aO600RI700jU50ODzIa&Q0u0I_LsV{ZTe0C;G2V?zN0Z~y=R000000018F0Q~*<_y7P817H9F02n|4
3<3ZD18@KU0|1Z!00RI30{|Yn0zhE^0RSsP0RaPW00093kN^M!000939-ttB1(xbbDXwk;8Vm>k00RKX000932tZ;00RRU?0
l{*xB0vBD02FC+aAg1h0000006+i$06+i$02FC+aAg1h000000C)fZ0Av6F010VwZ*&6y001dzaBX1#00000000F50Rn@B00
IJmf&c>ofr0=80)c`61p<MB0000GX=Gt^000320C)go0001cZDe6|0000RC;_hqI9mMuH~F3K|NqMM-iQ0xII8gpkJsP;000
{(0j~x)TKxN0@wdPK|CFJ>|N9&`s__Yr*WdsE02?R)uLd|;{QWolv5o#m`y(;`{*Vf)@d=OD-~a#s5-0($1~^-Y<>J5ab4^v
6!bW@
"""
)
"""The grid, which the container turns by a quarter to the right."""

GRID = _file(
    r"""
0000OW^{RQXk}?*00000ZE0pPXk}?*0006SZDn*}000000000XXk=`10000000000aA{+7000000000000000000004sdC7Z
2$lO00031003ZVY;R)$0000)000F50RRC20003100000000O80ssI20003100KGy0018V0{{R30003100LP60018V1ONa400
03100MXb0018V1poj50003100Nf)000&M004JsX>Mi!000001poj56=`l}WdZ;I000310B3S(WB>pF02OI&W@Q2Z00963003
xqV=({#000$fZf0cy000310{{SMc4ILB0000LX>Mj^0ssI300aO4Xm(>U000006=`l}WdZ;I0RRO60BCk&F#rGn03c~{Wo7^
X0000002E|tZD#-h00aO600RI700jU50N818a&Q0u0H|qjV{ZTe0C;G2V?zN0Z~y=R000000018F0Q~*<_y7P817H9F02n|4
3<3ZD18@KU0|1Z!00RI30{|Yn0zhE^0RSsP0RaPW00093kN^M!000939-ttB1(xbbDXwk;8Vm>k00RKX000932tZ;00RRU?0
l{*xB0vBD02FC+aAg1h0000006+i$06+i$02FC+aAg1h000000C)fZ0Av6F04Qm2ZD9Za0000000jU60fPVn0)c`60|J4900
aVof&c{qfr0=401#<pVRQfh0RaGb0Av6F0DEm@VRQfh02?R)uLd|;{QWoio$vqu%Jtrd``9?D@d=OD-~a#s8z=#<1~^*$`&a
R|zyJS~p}+t895|}+36Iy{0000RC;_hqI9mMuH~g`U{zv;GG5`LM3aar5kJsP;000sw0j~x)TZrZ2zwmQSRhq&^d;
"""
)
"""Four tiles of 64 x 64, of which 120 x 100 are shown, as phones write."""

ALPHA = _file(
    r"""
0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<0006tZDn*}000000000XXk=`10000000000aA{+700000000000000000000G
-+&aV*mgE07O6l0ssL300002SpWe5000000027x0ssI200NW%0RR91000009RL6TIB98aW&i*H00062000$fZf0cy000000R
RAKc4ILB0000LX>Mj^0ssI200IC2Xm(>U000004sdC7Z2$lO0003100DGqaB^?}00B;EaAR)(004Msc4I>U18@KU00000000
0U@BsY%`1k+-4+CHT0RR|40Sp2E{{wIU00RJ!0009300RIXx&lC90096iLID8-Z~y=U0FVFx0{{R603M(qfd!W8Nhz*w0vZe
m00093$N&HX00=;000968L;=Baup&SJ000wXZ)|dIV{CW;0RRmE27mwn02FC+aAg1h0000006+i$06+i$01j|zcxeCt00039
0001TXm(>m0R#vD00000000009`FGC{P_3)01pFT0096OKmiN^|NjIC00093pZEX(0{{RXx&lC90096dLID8;2mk;B0H62(0
0RI39>9VG7F($#rn#^n00096AOHXZ03l)k0RRU?0l{*xB0vBD04HH}ctZdH004DzZaQsnWoJ5QWp-maGB7bUI$?EqX=FMv00
0009%*oGVE_OC000000ssL7fdT^r00IPs0|bTu000_ka%E-!00000000hQb$Dz50ssL30RR91U~Ob!bN~PVHz)zG1~^-Y<?X
-lmkgQB|EMf~|Nj0^|Nrm$Y^i_vJ3mYQ0>c0Oc0YqT{>AZcAHE%BZ`{@z0000PC;_evaCHUnzwnn4ORN5+?mY=t{5{CS@B
"""
)
"""The plain one with its red quarter transparent."""

TEN_BITS = _file(
    r"""
0000SW^{RQXk}@500000ZE0pPXk}@5ZE0a<0003|ZDn*}000000000XXk=`10000000000aA{+700000000000000000000B
57=IV*mgE07O6l0RRC200001bpQbX00000002S&001LtX>Mi!000000RR916=`l}WdZ;I000310BCk&F#rGn01j|zbZr0t00
0010002dX>f9I00028X>en20001WXm(>m0R#vD00000000009`FGC{rdU<01pFT0096OKmiN^|NjIC00093owxu10{{RXx&l
C90096gLID8;2mk;B0G+r100RI39-ttB1lew+lA7k=A)vs3000bt00093gkk^z00%??!E&%7KmY&$6Ju{|a&BX6cmM$a4FCp
!0000KX>)L8000000000$0000$0000EaA|mH000000SW*B02gU+ZD9Za00000009621c3qr1ONa4N^N9ebN~PVJ}3dN1~^*$
{WtlNH~;_3A0CJM-!g0^f0mkm|I@!e|M&|yv6%ikp0U5CqnH2k3II_-{M9zU`dOvd-9}s
"""
)
"""The plain one in 10 bits a channel."""

TWO_IMAGES = _file(
    r"""
0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<0004kZDn*}000000000XXk=`10000000000aA{+700000000000000000000G
-+&aV*mgE07O6l0ssL300001rT_r|00000002V(0ssI200HR$0RR91000009{>OVIB98aW&i*H00062000$fZf0cy000000R
RAKc4ILB0000LX>Mj^0ssI200IC2Xm(>U000004sdC7Z2$lO00031007%*aB^?}006aVaAR)(004Msc4I>U18@KU00000000
0U@BsY%`1k+-4+CHT0RR|40Sp2E{{wIU00RJ!0009300RIXx&lC90096iLID8-Z~y=U0FVFx0{{R603M(qfd!W8Nhz*w0vZe
m00093$N&HX00=;000968L;=Baup&SJ000wXZ)|dIV{CW;0RRmE27mwn02FC+aAg1h0000006+i$06+i$01j|zcxeCt00039
0000UX>e^}0000000002009Jn0s{m90tA5q0|Wp70BUVyVRQfh06!=JuLd|;{QWoio$vqu%Jtrd``9>aC4ZMLU;op4zyJ6Iy
s?=6ISLWKrdV(P@%Ae%LHyDuB7TzcU4FO~Pyhe`8z=#<1~^*${Wtuvjs8dbBQgK}kP52t36Iy{
"""
)
"""The plain one, then a blue one."""

DEEP = _file(
    r"""
0000SW^{RQXk}@500000ZE0pPXk}@5ZE0a<0006yZDn*}000000000XXk=`10000000000aA{+700000000000000000000G
-+&aV*mgE07O6l0ssL300002UH}0A0000000;8`0ssI2018n60RR9100001f&c&jIB98aW&i*H00062000$fZf0cy000000R
RAKc4ILB0000LX>Mj^0ssI200IC2Xm(>U000004sdC7Z2$lO0003100DVvaB^?}00C2JaAR)(004Ptc4I>U1PA~C00000000
1Z@BsY(`uYF>4+CHT0RR_30Sp2E{{#pC00RJ=H~;_x004Np0zhE^0RSvQ0RaRE00093oHzgg0{{SckN`^%2NUINw^B(>b8ry
QU_bx>20#D+0{}u|00969L;=Bah71NI0000JV{dG7ZewhC0096E00w{n000zeb8uw<0000000giA00V>o000hfX?SS>00001
3IG5Ac4&5ELjeQ`00000000000C?~K{QUa*000jIU;qIC7eE0F0ssF52mk;B0G;>%00RI3c)9{WVE_RDDnbDP1PA~C0|1@)0
00930C>O&VgTZNt(NLZDXwe?00093$N&HX00=;000968L;=Bauwp;}001Xpb$CMn0001Wa&9_paAjvYXk~U|Ix;XZH9BE+cx
hxhF#rGn03K;@ZD9Za0000000IC31c3qr1ONgAg#!eJ0000QX>w&|000000000EVRd+H00IC30096134Lv3VRQfh2k$5WuM0
<rtcQ(=hlY!Uih_QGhKYdsvRA^}*>L-&-Y&0s8$D81^4uOMDAp$~D)O)u@53Q;C4Z4;%s20PRQaVQxrUG0KC4*skWY<$=2Mk
#0`rAah)f#!JginD9&8HEz~4b^4f49Zu$rtK>%6&b@0{FrdJP9%D*Az)U8Q^SZiT;3mv=*l%dqGNn4Jci>XxjG&F%z=7tPYl
s+VV9l|OZJT_F7$Ve3_`VKO(>Mb}w36ut&4nRJO6Zn%zs(^5crTYhbGh|PmHehg$-^{FNMAt>%70K+SCo6Q-9Y;xI_$IVEs{
`EF)^*l~CQIe0Q!aMw|0LQcG(QM_hb-dg<vAixLp+fsQuJrt+k<fTxypsl}DyF>B&6N(VIC-atO|@C(_T=eNT$8fWKA>@)W!
P{X3~`~&JpDY*HK>u03Sb*R)9q!oCu!rz8!Q4`v}|Tfn+?7Sa!D1Gy+OIpFWKk?U?(wBB3H#2&|H&Dy4Gb74*Wc9ZW0nhz?-
gdO;)^IiI*o-S?LZS5)^%JaE#3*PWpKhxf&Nqu`nT5NG4km$)1aWjy0b@5l>K%yb?9yEakEVpB`2J6C@Jay-@YWYOKpXzE{d
eJiS*W6Cl^?oXB~E+}efzH3373*hO`>Ro^MZ+S9R_fI34s)$jUt0#iNxjnOa-+SbRKhz4S28Kx95;pK(*HsNxHC9Q%hNg-D6
oIrnZ7LvGi`3G!nL_dqv9ctH|*z_X#7L&UE;K{BID<UFudAEc9kf|E1X06rkk}>sktI?N`3IYBr%0TSE2MOq8fRh+m1V4Pg(
7X{=C8$Un$;~l3TY)4qNa6xIW{%|*7uTNDHfagl6J#P&sf$okD(YZuXr(Lp%?Uf9@;v8wHaG&s0zOFS<-<BQqIG<Ht-C<p+u
t=OKA?AF?>Ss#8OVD3lpVt*{kJmr3%*g?C((1s5~coZ1-Gw=S1%{FB#AId3MO=N(-rY0f`strkYGa8mfz#M%4bp=dm+mRIKW
^)K>VPaaKiR};}zKX%iw(&j>=98<Rh}~)<((Z<R<nUkQ%`i!l6YbG=n7LEu~xC3G_E8{-9R9pFzS`n2Oe)U;3uv536&5vc!o
l-oWrZT1IvUq7Q7sDA5p#d1_)FABadPfiIEPkDz%NB36RvLK8A;JEi$HIRZ!j1a`tJtqH(F;bCA<+w<l{78`~AcCT@Y!tgeV
UCf5tv)z^?sGC1g32wxx1};9zvbDL!8n}Z)R@N$oQ(P$l($MB8+hlrMNG&!{KLC*r2>A6~$wfrJX^X^**)i%bg!+lQL~QYP6
sD9^OP_AJ-t|9-z;VHqzJP{P`>WNF!<1D5a)#yJDfHXQ7SR9$oU5W~)BK3IQ-!*y`rpnSY@o{Gp9@o2<fB9F=+iiq{9382#y
;(w*L!XW;H5R-;kcn)XQ5<>An)vqPcBJ^&WD!d#V~nd<>jl>GPCzXvhz*FGN=_|vlbp=OzqJKXBxQY<er_%%fFpj98WNiRUV
&WznI{hyuF|}qbvatH4Lw;Q}sh+H&Qe9N46FWV<~$C_k;siE0Hta98kpnC3hHB5PFZG->9e3#o31FMxYVJ%jtX<W|l?K;^&U
N8a&GR>*0uC+5O@zDpu78Ia2D{p#WQ4lnKqt+cUO-OhiYMDVV|vNre%=TeEz~9_UG#NqB%Ld7znqg`o2Z@Ksak&PHP1c3BE3
ILRyl{I~CUMiZDutvI;&E0%WWB2{~EJi++_A2x;>!0r_A(W%u~Ej;h5<gL6p@1lUmI__eu%4+cA6ki{2m1-}Z4<e52-gb3D*
`i;{jk$u|_rpXpG#n3N^vKfdjSXW4xyvESNAy>_wQhmzpquN^)Jq714DbhLOn2#zH!jC<WBG&W`KB+tAfgFn$LqTnCaGYVFV
5D>5NQ-HzJM7I%kQ1%yvwjP=l4Cjl$+BEx(K;X*|Z!n%i3}c8~bT0A4P(hu}?3JgVDCeI6oDjiJzj|d@d2ijf9xWRPJA%1Te
R=X68D2a+=;^qm~;VE}ETsKn9&TdShtkBDG6->SX>cwV+1p(}0ApWNP|MLrdAaaEWz_eHd`MG}vH(^Erz5db4*)ArHHCp-$m
2+~5SE8rO;rD0~%*lhwqM<N&E>?farhYo14`>gKfZw9C3x9hYz01kb@zgE95SqU|~Z1RygTJitLF^c-V4SE}vEtH-0pLEkAw
_CZ5}Qip=SzW{(7!S-Z*OwE}lE=h{~xrZg|^h&r5*^~h4&n!KfA=pY?O>G$DeuZyui()bYYyv>H<DZukVzi*_z2wwvgZ?!YZ
uL=OfEPvF0k3JCiyfHoE+Yj1`p)_s1pPWFr%IXwCFrCUe#G9m8Ju3Q28Dqju~=FT)kP6=BxRm6K3SQS7n!IO&Q7g)1Ft{Wi!
OkM<%mjE+~rYjV3)YlLU9Ppa^>OML&en`shrBReloZU;9L7~cva{@r{}Vb)kNIDVM1$KB$BagOiko=UZ_4}3dVN!Xx)_Ss-<
L)o#4P>Wjq+xbWtuy=_mJu5Z}9fJ4bTQrH;<DY%3hxgFT$hGd;0xRFcRC2O74W#NN690Mx@83{*++ZKk?<4VpyDpaxVoocGo
&0U`ihS)bq!pVhBtXHgQCtipTM=Wt96PbVzxfB*miekcL17LPpgg^Cj<NQn|8NRcD#PdLh7CthPg&N=Dq1&T>ksB>p|STY{U
^ZdG#9h~yBCc@qZBK6|Yf)u)GpxOhv^<8VRos~kTtb#JMHOB6)>B-w4wy@4r1UEeJSC*2)WCMPP8uXL^495U8s0JYc`~U=Gy
sR9g0009300RI30{{R6000930Gxonj{pDz0009300RI30{{R6000J5NzMQO0{{R60009300RI30{{a$S402+0{{R60009300
RI30{~mVUT6RS0{{R60009300RI30|J(6L;wH-0009300RI30{{RDm~xB&00RI30{{R60009302=Ul@Bjb<0009300RI30{{
RrpnM1b00RI30{{R60009307XE7umAu90009300RI30{{SZz=ya100RI30{{R6000930Iq<H@Bjb<0009300RI30{{T@fB+c
?0009300RI30{{R60009300RI30{{R60009302c5
"""
)
"""1200 x 900 of 10 bits, full chroma and alpha: what takes most memory."""

DISPLAY_P3 = _file(
    r"""
0000SW^{RQXk}?*00000ZE0pPXk}?*ZE0a<00040ZDn*}000000000XXk=`10000000000aA{+700000000000000000000B
57=IV*mgE07O6l0RRC200001cmM$a00000006}R001LtX>Mi!000000RR916=`l}WdZ;I000310BCk&F#rGn01j|zbZr0t00
0010002gX>f9I0002BX>en20001ZXm(>m0RwOV00000000009`FGC{rLC*01pFT0096PKmiN^|NjGU00093kN^M!000939=Z
ZRVE_RDD?$MQ18@KU0|1Z!00RI30{|YNAb|yz>PacCZWtO22mk;B0LTCU0{{p>VgLaE2SfqEa<C#m0000JV{dG7ZewhC01N;
P00w{n000zeb8uw<00000002M$002M$000hfX?SS>000012mk;87in;9VE_OC000000RRC6fdT^r0002ZZDe6|0002NC;_hq
I9mMuH>x-P|H?xihxSLxs~%rvNi-J!$6dYm;4;7eh?ht5o}19wlQhD=YaYZ9DRDKFFR`Z2D|3Qf%2#xDu(1`>`?qrzIWUpP_
bBW-n)Kij3oTFF!v2_p5bUb?qs1U~`C`)j@L(K3!2d}DjoIe<RHv6i&H27gqm9S8K`ImfC1RY_(z#}{mAZ1;z4BrG=IWdVp{
<)*m7Kvl*bkkbhM^!Mbc>sx^nBg_O|oz7{hvpN1~2*({{
"""
)
"""(200, 100, 50) above black; the container says that these are levels of Display P3."""


def announcing(data: bytes, width_px: int, height_px: int) -> bytes:
    """Have a HEIC or AVIF announce another size than its pixels have."""
    first, *others = data.split(b"ispe\0\0\0\0")
    size = struct.pack(">II", width_px, height_px)
    return first + b"".join(b"ispe\0\0\0\0" + size + other[8:] for other in others)


def tiled(across: int, down: int) -> bytes:
    """Build a grid of so many tiles, 64 x 64 each; all of them are one item."""
    size = struct.pack(">II", 64 * across, 64 * down)
    file = GRID.replace(struct.pack(">II", 120, 100), size)
    tiles = struct.pack(">HH", 1, across * down) + struct.pack(">H", 2) * (across * down)
    dimg = struct.pack(">I4s", 8 + len(tiles), b"dimg") + tiles
    file = _with_box(file, b"iref", bytes(4) + dimg)
    file = _with_box(file, b"idat", struct.pack(">4B", 0, 1, down - 1, across - 1) + size)
    return file.replace(struct.pack(">III", 1, 0, 8), struct.pack(">III", 1, 0, 12))


def _with_box(file: bytes, kind: bytes, body: bytes) -> bytes:
    """Put another body into a box of ``meta``."""
    at, meta = file.index(kind) - 4, file.index(b"meta") - 4
    (old,), (whole,) = (struct.unpack_from(">I", file, place) for place in (at, meta))
    longer = struct.pack(">I", whole + 8 + len(body) - old)
    box = struct.pack(">I4s", 8 + len(body), kind) + body
    return file[:meta] + longer + file[meta + 4 : at] + box + file[at + old :]
