// The board's filters. Their state is the address, so that a filtered board can be linked.
"use strict";
(function () {
  const form = document.getElementById("filters");
  const found = document.getElementById("found");
  const nothing = document.getElementById("nothing");
  const names = ["q", "paper", "stands", "kind", "profile", "verdict"];
  const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

  // Read the tables once: after that a filter is a walk over this list.
  const groups = [...document.querySelectorAll("#claims details")].map((group) => ({
    element: group,
    openAtFirst: group.open,
    paper: group.dataset.paper,
    stands: group.closest("section").dataset.stands,
    rows: [...group.querySelectorAll("tbody tr")].map((row) => ({
      element: row,
      kind: row.dataset.kind,
      text: (group.dataset.paper + " " + row.textContent).toLowerCase(),
      chips: [...row.querySelectorAll(".chip")].map((chip) => ({
        verdict: chip.dataset.verdict,
        profiles: chip.dataset.profiles.split(" "),
      })),
      parts: [...row.querySelectorAll("[data-profiles]")],
    })),
  }));

  function fits(row, wanted) {
    if (wanted.kind && row.kind !== wanted.kind) return false;
    if (!words(wanted.q).every((word) => row.text.includes(word))) return false;
    if (!wanted.profile && !wanted.verdict) return true;
    return row.chips.some(
      (chip) =>
        (!wanted.profile || chip.profiles.includes(wanted.profile)) &&
        (!wanted.verdict || chip.verdict === wanted.verdict),
    );
  }

  function apply(wanted) {
    const filtered = names.some((name) => wanted[name]);
    let shown = 0;
    let all = 0;
    for (const group of groups) {
      const here =
        (!wanted.paper || group.paper === wanted.paper) &&
        (!wanted.stands || group.stands === wanted.stands);
      let fitting = 0;
      for (const row of group.rows) {
        const fit = here && fits(row, wanted);
        row.element.hidden = !fit;
        fitting += fit;
        for (const part of row.parts) {
          const profiles = part.dataset.profiles.split(" ");
          part.hidden = Boolean(wanted.profile) && !profiles.includes(wanted.profile);
        }
      }
      group.element.hidden = fitting === 0;
      // Context is counted nowhere, so it is not opened for a reader who did not ask for it.
      const asked = group.stands !== "context" || wanted.stands === "context" || wanted.q;
      group.element.open = filtered ? Boolean(fitting && asked) : group.openAtFirst;
      if (group.stands !== "context") all += group.rows.length;
      if (group.stands !== "context" || wanted.stands === "context") shown += fitting;
    }
    for (const heading of document.querySelectorAll("#claims h3")) {
      let next = heading.nextElementSibling;
      let any = false;
      for (; next && next.tagName === "DETAILS"; next = next.nextElementSibling) any ||= !next.hidden;
      heading.hidden = !any;
    }
    for (const section of document.querySelectorAll("#claims section")) {
      section.hidden = ![...section.querySelectorAll("details")].some((part) => !part.hidden);
    }
    nothing.hidden = groups.some((group) => !group.element.hidden);
    found.textContent = filtered
      ? shown + (shown === 1 ? " line fits" : " lines fit")
      : all + " claims";
    form.classList.toggle("filtered", filtered);
  }

  function fromAddress() {
    const given = new URLSearchParams(location.search);
    const wanted = {};
    for (const name of names) {
      form.elements[name].value = given.get(name) || "";
      // A select refuses a value that it does not offer, and is then empty.
      wanted[name] = form.elements[name].value || "";
      if (form.elements[name].tagName === "SELECT" && !wanted[name]) form.elements[name].value = "";
    }
    apply(wanted);
  }

  function fromForm() {
    const wanted = {};
    const address = new URLSearchParams();
    for (const name of names) {
      wanted[name] = form.elements[name].value.trim();
      if (wanted[name]) address.set(name, wanted[name]);
    }
    const query = address.toString();
    history.replaceState(null, "", location.pathname + (query ? "?" + query : ""));
    apply(wanted);
  }

  form.hidden = false;
  form.addEventListener("input", fromForm);
  form.addEventListener("reset", () => setTimeout(fromForm));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("popstate", fromAddress);
  fromAddress();
  if (location.search) form.scrollIntoView({ behavior: "instant" });
})();
