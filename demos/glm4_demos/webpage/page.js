() => {
  const dark = localStorage.getItem("glm4-dark");
  if (dark !== null) document.body.classList.toggle("dark", dark === "1");
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const stop = document.querySelector("#message .stop-button");
    if (stop) stop.click();
  });
}
