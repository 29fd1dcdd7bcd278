// Progress by server-sent events, links to tables as CSV, and a chosen file's text into its field.
const job = document.getElementById("job");
if (job) {
  const events = new EventSource(`/jobs/${job.dataset.job}/events`);
  events.addEventListener("progress", (event) => {
    const told = JSON.parse(event.data);
    document.getElementById("said").textContent = told.said || (told.state === "running" ? "computing" : "waiting for a worker");
    job.querySelector("progress").value = 100 * told.share;
  });
  events.addEventListener("over", (event) => {
    events.close();
    // who cancelled is on the way to another page already
    if (JSON.parse(event.data).state === "cancelled") document.getElementById("said").textContent = "cancelled";
    else location.reload();
  });
}
document.querySelectorAll("main table").forEach((table, i) => {
  const address = new URL(location.href), link = document.createElement("a");
  address.searchParams.set("as", "csv");
  address.searchParams.set("table", i + 1);
  link.href = address.pathname + address.search;
  link.textContent = "CSV";
  link.className = "csv";
  table.closest(".card").after(link);
});
for (const chooser of document.querySelectorAll("input[type=file][data-into]")) {
  chooser.addEventListener("change", async () => {
    const into = document.getElementById(chooser.dataset.into);
    into.value = chooser.files.length ? await chooser.files[0].text() : "";
    into.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
