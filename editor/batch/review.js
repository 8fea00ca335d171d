"use strict";
const rows=[...document.querySelectorAll("article")],box=document.querySelector("input"),
 buttons=[...document.querySelectorAll("nav button")],shown=document.getElementById("shown");
let status="all";
function show(){const words=box.value.toLowerCase();let n=0;
 for(const row of rows){const on=(status==="all"||row.dataset.status===status||
   (status==="doubt"&&row.dataset.doubt==="1"))&&row.textContent.toLowerCase().includes(words);
  row.hidden=!on;n+=on}
 shown.textContent=n+" shown";
 for(const b of buttons)b.setAttribute("aria-pressed",b.dataset.filter===status)}
const doubts=rows.filter(row=>row.dataset.doubt==="1").length,
 doubt=buttons.find(b=>b.dataset.filter==="doubt");
doubt.textContent+=" "+doubts;doubt.hidden=!doubts;
for(const b of buttons)b.addEventListener("click",()=>{status=b.dataset.filter;show()});
box.addEventListener("input",show);show();
