"""The style sheet of a report. Colours are Okabe and Ito's, which colour-blind people tell apart."""

STYLE = (
    """
:root{--bg:#fbfbf9;--card:#fff;--ink:#1c2024;--soft:#5c6670;--line:#dcdfe2;--yes:#14795a;--partly:#9a6700;--no:#b3261e;
--unknown:#5c6670;--zone:.22;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9;--c6:#7a5195;--c7:#7f7f7f}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1d2226;--ink:#e6e8ea;--soft:#a0a9b1;--line:#343b41;
--yes:#4cc38a;--partly:#f0b429;--no:#ff7b72;--unknown:#a0a9b1;--zone:.36;--c0:#4ea7e0;--c1:#ff8b4d;--c2:#35c79c;--c3:#e29bc4;
--c4:#f3bb45;--c5:#8fd0f5;--c6:#b79be0;--c7:#a8a8a8}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1060px;margin:0 auto;padding:0 20px 80px}
nav{position:sticky;top:0;z-index:1;display:flex;gap:4px 18px;overflow-x:auto;padding:10px 20px;background:var(--bg);
border-bottom:1px solid var(--line);font-size:14px}
nav a{color:var(--soft);text-decoration:none;white-space:nowrap}nav a:hover{color:var(--ink)}
section{scroll-margin-top:52px}
h1{font-size:28px;line-height:1.2;margin:32px 0 8px}h2{font-size:21px;margin:44px 0 6px;padding-top:14px;
border-top:1px solid var(--line)}h3{font-size:16px;margin:26px 0 8px}
header p{margin:2px 0;color:var(--soft)}.lead{font-size:17px;margin:4px 0 10px;max-width:70ch}
.note,figcaption,small,.asks{color:var(--soft);font-size:14px;max-width:78ch}
.settings{padding-left:18px;font-size:15px}.settings .deviation{color:var(--partly)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(300px,100%),1fr));gap:14px;align-items:start}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px;min-width:0}
.card h3{margin:0 0 6px;overflow-wrap:anywhere}
details{margin:10px 0}summary{cursor:pointer;font-weight:600;font-size:15px}
.verdict{margin:0;border-top:1px solid var(--line);padding:6px 0}
.verdict summary{display:flex;justify-content:space-between;list-style:none;font-weight:400}
.verdict summary::-webkit-details-marker{display:none}
.verdict .q::before{content:"▸";display:inline-block;width:16px;color:var(--soft)}
.verdict[open] .q::before{content:"▾"}
.verdict .q{flex:none;white-space:nowrap;margin-right:14px}.answer{font-weight:700;text-align:right}
.yes .answer,li.yes b{color:var(--yes)}.partly .answer,li.partly b{color:var(--partly)}
.no .answer,li.no b{color:var(--no)}.unknown .answer{color:var(--unknown);font-weight:400}
.verdict ul{padding:0;margin:4px 0 6px;list-style:none}.verdict li{margin:4px 0;font-size:14px}
.verdict li small{display:block}
.verdict p{margin:2px 0}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:5px 14px 5px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;vertical-align:bottom}td.n{text-align:right;white-space:nowrap}
th.n{text-align:right}
td:first-child{white-space:nowrap}.card td:first-child{white-space:normal}
.card td:first-child{min-width:6em;color:var(--soft)}.card td{font-size:13px}
.figures{display:flex;flex-wrap:wrap;gap:0 24px}figure{margin:14px 0;flex:1 1 100%;min-width:0}
figure.half{flex:0 1 calc(50% - 12px);min-width:min(430px,100%)}svg{max-width:100%;height:auto;display:block}
.bars{display:flex;flex-wrap:wrap;gap:14px 26px;margin-bottom:8px}
.shots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(290px,100%),1fr));gap:14px}
.shot{max-width:400px}.shots.wide{display:block}.shots.wide .shot{max-width:100%;margin-bottom:12px}
.shot img{display:block;max-width:100%;border-radius:4px}
.shot span{font-size:13px;color:var(--soft);overflow-wrap:anywhere}
dl{max-width:80ch}dt{font-weight:600;margin-top:12px}dd{margin:2px 0 0}
text.label{font-size:12px;fill:var(--soft)}text.strong{fill:var(--ink);font-weight:600}
.axis{stroke:var(--soft)}.grid{stroke:var(--line)}.ideal{stroke:var(--ink);stroke-dasharray:4 3}
.truth{stroke:var(--ink);stroke-width:2.2;fill:none}.zone{opacity:var(--zone);stroke:none}
.fill{stroke:none}.stroke{fill:none;stroke-width:2}.dashed{stroke-dasharray:6 4}.band{stroke:none;opacity:.16}
"""
    + "".join(
        f".s{i}.fill,.s{i}.band{{fill:var(--c{i})}}.s{i}.stroke{{stroke:var(--c{i})}}.zone.c{i}{{fill:var(--c{i})}}"
        for i in range(8)
    )
    + """
@media(max-width:640px){main{padding:0 14px 60px}h1{font-size:23px}body{font-size:15px}nav{padding:10px 14px}
th,td{padding-right:10px;font-size:13px}svg.wide{min-width:680px}}
@media print{nav{display:none}details{display:block}}
"""
)
"""CSS, light and dark."""
