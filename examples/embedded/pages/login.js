// The button that creates an account. The cookie that the method sets counts for pages too.
import {call, run} from "./calls.js"

document.getElementById("create").onclick = ({target}) => {
    const {form} = target
    if (form.reportValidity())
        run(target, async () => {
            await call("account.create", Object.fromEntries(new FormData(form)))
            location.assign("/")
        })
}
